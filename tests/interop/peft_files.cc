// Turns adapters of PEFT into plain safetensors and back, for peft_roundtrip.py.
//
//   peft_files write FACTORS.safetensors FOLDER   <path>.a [in, r] and <path>.b [r, out] (.e for an
//                                                 embedding's) become an adapter of PEFT
//   peft_files read FOLDER FACTORS.safetensors    <path>.a, <path>.b as PEFT has them, and
//                                                 <path>.scaling as float64
#include <cstring>
#include <iostream>
#include <map>

#include "format/safetensors.h"
#include "lora/peft.h"
#include "util/output_folder.h"
#include "wshare/error.h"

namespace {

using namespace wshare;

void write(const std::string& from, const std::string& folder) {
  const MappedFile file = MappedFile::open(from);
  std::map<std::string, LoraFactors> modules;
  for (const NamedTensor& tensor : read_safetensors(file.bytes()).tensors) {
    LoraFactors& module = modules[tensor.name.substr(0, tensor.name.rfind('.'))];
    module.path = tensor.name.substr(0, tensor.name.rfind('.'));
    const bool is_a = tensor.name.ends_with("a");
    (is_a ? module.a : module.b) = tensor;
    if (module.path.ends_with(".e")) {
      module.path.resize(module.path.size() - 2);
      module.embedding = true;
    }
  }
  std::vector<LoraFactors> list;
  for (const auto& [name, module] : modules) list.push_back(module);
  write_peft_adapter(folder, list, "a base");
}

void read(const std::string& folder, const std::string& to) {
  const PeftAdapter adapter = load_peft_adapter(folder);
  std::vector<NamedTensor> tensors;
  for (const PeftModule& module : adapter.content.modules) {
    tensors.push_back({module.path + ".a", module.a.dtype, module.a.shape, module.a.bytes});
    tensors.push_back({module.path + ".b", module.b.dtype, module.b.shape, module.b.bytes});
    tensors.push_back(
        {module.path + ".scaling", 11, {}, std::as_bytes(std::span(&module.scaling, 1))});
  }
  const SafetensorsLayout layout = lay_out_safetensors(tensors, {});
  OutputFile file(to, layout.size);
  write_safetensors(layout, tensors, [&](std::span<const std::byte> bytes) { file.write(bytes); });
  file.close();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 4 && std::string(argv[1]) == "write") {
      write(argv[2], argv[3]);
    } else if (argc == 4 && std::string(argv[1]) == "read") {
      read(argv[2], argv[3]);
    } else {
      return 2;
    }
  } catch (const Error& error) {
    std::cerr << error.what() << "\n";
    return static_cast<int>(error.code());
  }
  return 0;
}
