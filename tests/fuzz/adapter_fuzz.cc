// An .onnx_adapter: what is read can be written, and is then read as the same.

#include <algorithm>

#include "format/adapter_file.h"
#include "fuzz/fuzz.h"

using namespace wshare;
using namespace wshare::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Exact file(Input(data, size).rest());
  accepts([&] {
    const std::vector<NamedTensor> read = read_adapter(file.bytes());
    std::string written;
    write_adapter(lay_out_adapter(read), read, append_to(written));
    const Exact again(written);
    const std::vector<NamedTensor> reread = read_adapter(again.bytes());
    expect(std::equal(read.begin(), read.end(), reread.begin(), reread.end(),
                      [](const NamedTensor& a, const NamedTensor& b) {
                        return a.name == b.name && a.dtype == b.dtype && a.shape == b.shape &&
                               as_text(a.bytes) == as_text(b.bytes);
                      }),
           "an adapter is read as it was written");
  });
  return 0;
}
