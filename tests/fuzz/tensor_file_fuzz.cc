// A tensor for --inputs, as [.npy or .pb][bytes]; ONNX Runtime makes a value of it.

#include "fuzz/files.h"
#include "run/tensor_file.h"

using namespace wshare;
using namespace wshare::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const std::filesystem::path path =
      work_folder() / ((input.byte() & 1) != 0 ? "input.npy" : "input.pb");
  write_file(path, input.rest());
  accepts([&] {
    const Ort::Value value = read_tensor_file(path);
    expect(value.IsTensor(), "a tensor");
  });
  return 0;
}
