// Bundles that strangers made to take memory and time, through every command: each in a process of
// its own with 256 MiB, whose end has to be an answer or an error that says what is wrong. Seeds
// say how much of what each bundle has.

#include <zstd.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <ostream>
#include <random>

#include "format/manifest/text.h"
#include "format/restore_record.h"
#include "memory/run_within.h"
#include "support/bundle_test.h"
#include "support/places.h"
#include "util/wire.h"
#include "wshare/extract_lora.h"

namespace wshare::test {
namespace {

std::string varints(std::initializer_list<uint64_t> values) {
  std::string text;
  for (const uint64_t value : values) append_varint(text, value);
  return text;
}

// A bundle in the folder "bundle" that is changed, not as wshare would.
class Stranger {
 public:
  Stranger(const fs::path& bundle, uint32_t seed)
      : manifest(load_manifest(bundle)), folder_(bundle), random_(seed) {}

  // A number from 1 to `most`: as often under its root as over it.
  uint64_t number(uint64_t most) {
    const double share = static_cast<double>(random_() >> 8) / (1 << 24);
    return std::max<uint64_t>(1, static_cast<uint64_t>(std::pow(most, share)));
  }

  bool coin() { return random_() % 2 == 0; }

  SourceRecord& source() { return *manifest.models[0].source; }

  RestoreRecord record() const {
    const SourceRecord& source = *manifest.models[0].source;
    const std::string blob = read_file(folder_ / manifest.blobs[source.record.blob].file);
    return unpack_record(blob.substr(source.record.offset, source.record.size),
                         read_file(folder_ / manifest.models[0].file), source.size);
  }

  // Gives the first original a record with this text before its literal, and as many bytes more
  // as let it unpack to much.
  void set_head(const std::string& head) {
    const std::string plain = head + record().literal;
    std::string packed(ZSTD_compressBound(plain.size()), '\0');
    packed.resize(ZSTD_compress(packed.data(), packed.size(), plain.data(), plain.size(), 1));
    const uint64_t filling = number(300'000);
    packed += "\x50\x2a\x4d\x18";
    for (int shift = 0; shift < 32; shift += 8) packed += static_cast<char>(filling >> shift);
    packed.append(filling, '\0');
    BlobRecord& blob = manifest.blobs[source().record.blob];
    std::string bytes = read_file(folder_ / blob.file);
    source().record = {source().record.blob, bytes.size(), packed.size()};
    source().record_hash = content_hash(std::as_bytes(std::span(packed)));
    bytes += packed;
    blob.size = bytes.size();
    write_file(folder_ / blob.file, bytes);
  }

  // Gives the first model another file.
  void set_model(const onnx::ModelProto& model) {
    const std::string bytes = model.SerializeAsString();
    manifest.models[0].size = bytes.size();
    manifest.models[0].hash = content_hash(std::as_bytes(std::span(bytes)));
    write_file(folder_ / manifest.models[0].file, bytes);
  }

  void save() const { write_file(folder_ / kManifestName, to_json(manifest)); }

  Manifest manifest;

 private:
  fs::path folder_;
  std::mt19937 random_;
};

std::string repeated(const std::string& text, uint64_t count) {
  std::string all;
  for (; count > 0; --count) all += text;
  return all;
}

void add_runs(Stranger& bundle) {
  const uint64_t runs = bundle.number(3'000'000);
  bundle.set_head(varints({1, runs}) + repeated(varints({0, bundle.number(3) - 1}), runs) +
                  varints({0}));
  if (bundle.coin()) bundle.source().size = uint64_t{1} << 31;
}

void add_externals(Stranger& bundle) {
  const uint64_t externals = bundle.number(200'000);
  std::string head = varints({1, 0, externals});
  for (uint64_t i = 0; i < externals; ++i) {
    const std::string name = std::to_string(bundle.coin() ? i : 0);
    head += varints({name.size()}) + name + varints({bundle.number(uint64_t{1} << 62), 0});
  }
  bundle.set_head(head);
}

void add_pieces(Stranger& bundle) {
  const uint64_t pieces = bundle.number(3'000'000);
  std::string head = varints({1, 0, 1, 1}) + "w" + varints({uint64_t{1} << 20, pieces});
  head += repeated(varints({bundle.number(3) - 1, bundle.number(4096) - 1, bundle.number(2) - 1}),
                   pieces);
  bundle.set_head(head);
}

void add_literal(Stranger& bundle) {
  bundle.set_head(varints({1, 0, 0}) + std::string(bundle.number(uint64_t{100} << 20), 'x'));
  if (bundle.coin()) bundle.source().size = uint64_t{1} << 40;
}

void add_claims(Stranger& bundle) {
  std::vector<TensorRecord>& tensors = bundle.manifest.models[0].tensors;
  const TensorRecord first = tensors[0];
  for (uint64_t i = bundle.number(100'000); i > 0; --i) {
    tensors.push_back(first);
    tensors.back().name = "x" + std::to_string(i);
    if (bundle.coin()) tensors.back().hash = content_hash({});
  }
}

void add_gaps(Stranger& bundle) {
  const Extent extent = bundle.manifest.models[0].tensors[0].extent;
  const uint64_t gaps = bundle.number(100'000);
  bundle.manifest.gaps.assign(gaps, {extent, bundle.manifest.models[0].tensors[0].hash});
  std::string head = varints({1, 0, 1, 1}) + "w" + varints({extent.size, gaps});
  for (uint64_t i = 0; i < gaps; ++i) head += varints({1, 0, i});
  bundle.set_head(head);
}

void add_names(Stranger& bundle) {
  std::vector<TensorRecord>& tensors = bundle.manifest.models[0].tensors;
  const TensorRecord first = tensors[0];
  for (uint64_t i = bundle.number(400); i > 0; --i) {
    tensors.push_back(first);
    tensors.back().scope = std::string(bundle.number(20'000), 's');
    tensors.back().name = std::string(bundle.number(20'000), 'n') + std::to_string(i);
  }
}

void add_blobs(Stranger& bundle) {
  for (uint64_t i = bundle.number(50'000); i > 0; --i)
    bundle.manifest.blobs.push_back({"x" + std::to_string(i), bundle.number(uint64_t{1} << 62)});
}

void add_models(Stranger& bundle) {
  ModelRecord model = bundle.manifest.models[0];
  if (bundle.coin()) model.tensors.clear();
  for (uint64_t i = bundle.number(20'000); i > 0; --i) {
    model.name = "m" + std::to_string(i);
    model.file = model.name + ".onnx";
    bundle.manifest.models.push_back(model);
  }
}

void add_scopes(Stranger& bundle) {
  onnx::ModelProto model = empty_model();
  onnx::FunctionProto& function = *model.add_functions();
  function.set_name(std::string(bundle.number(50'000), 'f'));
  for (uint64_t i = bundle.number(20'000); i > 0; --i) {
    onnx::NodeProto& node = *function.add_node();
    node.set_op_type("Constant");
    node.add_output("y");
    onnx::AttributeProto& value = *node.add_attribute();
    value.set_name("value");
    value.set_type(onnx::AttributeProto::TENSOR);
    *value.mutable_t() = raw("t", "x");
  }
  bundle.set_model(model);
}

void add_initializers(Stranger& bundle) {
  onnx::ModelProto model = empty_model();
  const std::string location = bundle.manifest.blobs[0].file;
  for (uint64_t i = bundle.number(30'000); i > 0; --i) {
    *model.mutable_graph()->add_initializer() =
        external("x" + std::to_string(i), 1000,
                 {{"location", location}, {"offset", "0"}, {"length", "1000"}});
  }
  bundle.set_model(model);
}

void derive_much(Stranger& bundle) {
  if (bundle.manifest.tasks.empty()) return;
  std::vector<OriginalTensor>& tensors = bundle.manifest.tasks[0].tensors;
  for (OriginalTensor& tensor : tensors) {
    if (!tensor.derivation) continue;
    tensor.derivation->rank = bundle.number(uint64_t{1} << 50);
    if (bundle.coin()) tensor.derivation->rank = 1;
    if (bundle.coin()) tensor.shape = std::vector<int64_t>{1 << 20, 1 << 20};
    if (bundle.coin()) tensor.derivation->base.reset();
  }
  const std::vector<OriginalTensor> all = tensors;
  for (uint64_t i = bundle.number(2000); i > 0; --i)
    tensors.insert(tensors.end(), all.begin(), all.end());
}

struct Attack {
  const char* name;
  void (*make)(Stranger&);

  friend void PrintTo(const Attack& attack, std::ostream* out) { *out << attack.name; }
};

constexpr Attack kAttacks[] = {{"Runs", add_runs},
                               {"Externals", add_externals},
                               {"Pieces", add_pieces},
                               {"Literal", add_literal},
                               {"Claims", add_claims},
                               {"Gaps", add_gaps},
                               {"Names", add_names},
                               {"Blobs", add_blobs},
                               {"Models", add_models},
                               {"Scopes", add_scopes},
                               {"Initializers", add_initializers},
                               {"Derivations", derive_much}};

class HostileBundles : public testing::TestWithParam<Attack> {
 protected:
  HostileBundles() {
    // Where there is one, a folder in memory.
    if (fs::is_directory("/dev/shm")) setenv("TMPDIR", "/dev/shm", 1);
    temp_.emplace();
    const std::string trunk = noise(70'000, 1);
    write_file(*temp_ / "in/a.onnx",
               bytes_of({raw("trunk", trunk), raw("head", noise(5000, 2)),
                         external("w", 3000, {{"location", "w.data"}, {"offset", "64"}})}));
    write_file(*temp_ / "in/w.data", noise(5000, 3));
    write_file(*temp_ / "in/b.onnx", bytes_of({raw("trunk", trunk), raw("head", noise(5000, 4))}));
    write_file(*temp_ / "c.onnx", bytes_of({raw("trunk", trunk)}));
    dedupe(resolve_inputs({path("in")}), path("models"), {});
    ExtractOptions options;
    options.base = std::string("base=") + kTestdata + "/t5-lora/base.onnx";
    extract_lora({{"task", std::string(kTestdata) + "/t5-lora/classify.onnx"}}, path("tasks"),
                 options);
  }

  std::string path(const std::string& name) const { return (*temp_ / name).string(); }

  // Runs the program on a copy of the bundle, and expects an end that is one.
  void expect_an_end(std::vector<std::string> arguments) const {
    fs::remove_all(path("bundle"));
    fs::remove_all(path("made"));
    fs::copy(path("hostile"), path("bundle"), fs::copy_options::recursive);
    std::string line;
    for (const std::string& argument : arguments) line += argument.substr(0, 100) + ' ';
    SCOPED_TRACE(line);
    const Limits limits{256 * kMiB, 256};
    const int code = run_within(limits, std::move(arguments), path("out"), path("errors"));
    const std::string errors = read_file(path("errors"));
    EXPECT_TRUE(code == 0 || code == 1 || (code >= 3 && code <= 5)) << code << errors;
    EXPECT_EQ(errors.find("not enough memory"), errors.npos) << errors;
    EXPECT_LT(errors.size(), 10'000u);
  }

  void attack(const std::string& good, uint32_t seed) {
    SCOPED_TRACE(good + ", seed " + std::to_string(seed));
    fs::remove_all(path("hostile"));
    fs::copy(path(good), path("hostile"), fs::copy_options::recursive);
    Stranger bundle(path("hostile"), seed);
    GetParam().make(bundle);
    bundle.save();
    const std::string model = bundle.manifest.models[0].name;
    expect_an_end({"verify", "-q", path("bundle")});
    expect_an_end({"inspect", "-q", path("bundle")});
    expect_an_end({"inspect", "-q", path("bundle"), "--json"});
    expect_an_end({"restore", "-q", path("bundle"), "-o", path("made")});
    expect_an_end({"append", "-q", path("bundle"), path("c.onnx")});
    expect_an_end({"remove", "-q", path("bundle"), model});
    expect_an_end({"remove", "-q", path("bundle"), "--compact"});
    expect_an_end({"dedupe", "-q", path("bundle"), "-o", path("made")});
    expect_an_end({"inspect", "-q", path("bundle/" + bundle.manifest.models[0].file)});
  }

  std::optional<TempFolder> temp_;
};

TEST_P(HostileBundles, EndEveryCommandWithin256MiB) {
  if (kSanitized) GTEST_SKIP() << "A SANITIZER NEEDS MEMORY OF ITS OWN: NOTHING WAS TESTED";
  for (const uint32_t seed : {1u, 2u, 3u}) attack("models", seed);
  attack("tasks", 4);
}

INSTANTIATE_TEST_SUITE_P(Of, HostileBundles, testing::ValuesIn(kAttacks),
                         [](const auto& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace wshare::test
