// Writes what the fuzz targets start from, made of testdata/ and a few lines: seeds FOLDER makes
// FOLDER/<target>/<number>.

#include <map>

#include "format/adapter_file.h"
#include "format/matrix.h"
#include "format/oci.h"
#include "format/restore_record.h"
#include "format/safetensors.h"
#include "format/tar.h"
#include "fuzz/files.h"
#include "util/wire.h"
#include "wshare/dedupe.h"

namespace fs = std::filesystem;
using namespace wshare;
using namespace wshare::fuzz;

namespace {

constexpr size_t kLargest = 60000;

class Seeds {
 public:
  explicit Seeds(fs::path folder) : folder_(std::move(folder)) {}

  void add(const std::string& target, const std::string& bytes) {
    if (bytes.size() > kLargest) return;
    write_file(folder_ / target / std::to_string(count_[target]++), bytes);
  }

 private:
  fs::path folder_;
  std::map<std::string, size_t> count_;
};

std::string word(size_t value) {
  return {static_cast<char>(value & 0xff), static_cast<char>(value >> 8)};
}

std::string path_of(const char* file) { return std::string(WSHARE_TESTDATA) + file; }

void add_model(Seeds& seeds, const std::string& model) {
  const std::string external(4096, 'e');
  for (const char mode : {'\0', '\1', '\12'})
    seeds.add("model", mode + word(external.size()) + external + model);
  for (const char mode : {'\0', '\3', '\4', '\5'}) seeds.add("references", mode + model);
  seeds.add("diff", '\7' + model);
}

void add_manifest(Seeds& seeds, const std::vector<ModelInput>& models) {
  const fs::path bundle = work_folder() / "bundle";
  DedupeOptions options;
  options.min_bytes = 16;
  options.replace = true;
  dedupe(models, bundle, options);
  seeds.add("manifest", read_file(bundle / "manifest.json"));
}

void add_layouts(Seeds& seeds) {
  oci::Blob layer{oci::kWeightType, std::string(64, '0'), 5, "", "a.bin"};
  const oci::ImageManifest manifest{
      oci::kModelType, {oci::kModelConfigType, layer.digest, 2}, {layer}};
  oci::Blob named{oci::kManifestType, layer.digest, 7};
  named.tag = "v1";
  seeds.add("layout", '\0' + oci::to_json(oci::with_manifest({}, named)));
  seeds.add("layout", '\1' + oci::to_json(manifest));
  std::string archive = tar::header("models/", 0, true);
  for (const std::string& name : {std::string("models/a"), "models/" + std::string(200, 'n')})
    archive += tar::header(name, 512, false) + std::string(512, 'x');
  seeds.add("layout", '\2' + archive + std::string(1024, '\0'));
}

void add_records(Seeds& seeds) {
  std::string plain;  // version, runs, external files, literals
  for (const uint64_t number : std::vector<uint64_t>{1, 2, 10, 0, 5, 1, 1})
    append_varint(plain, number);
  const std::string location = "weights.bin";
  append_varint(plain, location.size());
  plain += location;
  for (const uint64_t number : std::vector<uint64_t>{4096, 2, 0, 0, 0, 2, 4000, 96})
    append_varint(plain, number);
  seeds.add("restore_record", '\1' + plain + "literal bytes");
  RestoreRecord record;
  record.literal = std::string(200, 'm') + "other";
  record.runs = {{10, 0}, {20, 1}};
  record.external = {{location, 4096, {{ExternalPiece::Kind::kZeros, 0, 100}}}};
  seeds.add("restore_record", '\0' + pack_record(record, std::string(300, 'm')));
}

// Residuals of codec 2, whose tensors are as large here as there; the base has other elements.
void add_residuals(Seeds& seeds) {
  struct Case {
    const char* name;
    char type, rows, cols;  // the type as residual_fuzz.cc numbers it
  };
  for (const Case& c : {Case{"float32", 0, 37, 45}, Case{"float16", 1, 20, 30},
                        Case{"float64", 2, 7, 9}, Case{"bfloat16", 3, 39, 50}}) {
    const std::string residual = read_file(path_of("/compat/lanes_") + c.name + ".residual");
    const char head[] = {1, c.type, c.type, 0, c.rows, c.cols, 0, 0, 0, 0};
    seeds.add("residual", std::string(head, sizeof(head)) + residual);
  }
}

// An adapter of zeros with LoCon, LoHa and LoKr.
std::string kohya_adapter() {
  const std::vector<std::pair<std::string, std::vector<int64_t>>> shapes = {
      {"lora_unet_c.lora_down.weight", {2, 3, 1, 1}},
      {"lora_unet_c.lora_mid.weight", {2, 2, 3, 3}},
      {"lora_unet_c.lora_up.weight", {4, 2, 1, 1}},
      {"lora_unet_c.alpha", {}},
      {"lora_te_h.hada_w1_a", {5, 2}},
      {"lora_te_h.hada_w1_b", {2, 6}},
      {"lora_te_h.hada_w2_a", {5, 2}},
      {"lora_te_h.hada_w2_b", {2, 6}},
      {"unet.k.lokr_w1", {2, 2}},
      {"unet.k.lokr_w2_a", {3, 1}},
      {"unet.k.lokr_w2_b", {1, 4}}};
  const std::vector<std::byte> zeros(256);
  std::vector<NamedTensor> tensors;
  for (const auto& [name, shape] : shapes) {
    NamedTensor& tensor = tensors.emplace_back(NamedTensor{name, kFloat32, shape, {}});
    tensor.bytes = std::span(zeros).first(needed_bytes(tensor));
  }
  const std::map<std::string, std::string> config = {
      {"lora_adapter_metadata", R"({"unet.r": 1, "unet.lora_alpha": 2})"}};
  std::string bytes;
  write_safetensors(lay_out_safetensors(tensors, config), tensors, append_to(bytes));
  return bytes;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  Seeds seeds(arguments[1]);
  for (const char* folder : {"/homes", "/external"}) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(path_of(folder))) {
      const std::string bytes = entry.is_regular_file() ? read_file(entry.path()) : "";
      if (entry.path().extension() == ".onnx") add_model(seeds, bytes);
      if (entry.path().extension() == ".pb") seeds.add("tensor_file", '\0' + bytes);
    }
  }
  add_manifest(seeds,
               {{"a", path_of("/external/one_file.onnx")}, {"b", path_of("/external/mixed.onnx")}});
  add_manifest(seeds, {{"loop", path_of("/homes/loop.onnx")}});
  seeds.add("manifest", read_file(path_of("/compat/packed/manifest.json")));
  seeds.add("adapter", read_file(path_of("/adapters/stock.onnx_adapter")));
  for (const char* name : {"/adapters/classify", "/adapters/summarize"}) {
    const std::string config = read_file(path_of(name) + "/adapter_config.json");
    seeds.add("peft", word(config.size()) + config +
                          read_file(path_of(name) + "/adapter_model.safetensors"));
  }
  seeds.add("peft", word(2) + "{}" + kohya_adapter());
  seeds.add("tensor_file", std::string("\1\x93NUMPY\1\0v\0", 11) +
                               "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }" +
                               std::string(58, ' ') + '\n' + std::string(24, '\0'));
  seeds.add("references", "\1key|0;64;123|64;128;7");
  add_layouts(seeds);
  add_records(seeds);
  add_residuals(seeds);
  for (const char mode : {'\0', '\x40', '\x4b', '\x7f', '\x80'}) {
    seeds.add("residual",
              mode + std::string("\0\1\1\10\20\2\5abcdefg", 15) + std::string(100, '\7'));
    seeds.add("bundle", mode + std::string("\1\2\3\4\5\6\7\0\1\2\3", 11));
  }
}
