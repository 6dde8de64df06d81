// What PEFT, kohya's sd-scripts, LyCORIS and diffusers save, as [u16: size of the
// configuration][adapter_config.json][.safetensors].

#include "format/safetensors.h"
#include "fuzz/fuzz.h"
#include "lora/kohya.h"
#include "lora/peft.h"

using namespace wshare;
using namespace wshare::fuzz;

namespace {

// The factors of what is not too large to be made here.
void make_factors(const std::vector<KohyaModule>& modules) {
  for (const KohyaModule& module : modules) {
    constexpr uint64_t kLargest = 1000;
    const LowRankSize size = size_of(module.delta);
    if (size.rows > kLargest || size.cols > kLargest || size.rank > kLargest) continue;
    Scratch scratch;
    const ProductFactors factors = factors_of(module.delta, scratch);
    expect(needed_bytes(factors.up) == factors.up.bytes.size() &&
               needed_bytes(factors.down) == factors.down.bytes.size(),
           "factors have the size of their shapes");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const Exact config(input.text(input.word()));
  const Exact file(input.rest());
  SafetensorsFile read;
  const bool is_read = accepts([&] { read = read_safetensors(file.bytes()); });
  if (is_read) {
    accepts([&] {
      std::string written;
      write_safetensors(lay_out_safetensors(read.tensors, read.metadata), read.tensors,
                        append_to(written));
      const Exact again(written);
      expect(read_safetensors(again.bytes()).tensors.size() == read.tensors.size(),
             "a .safetensors file is read as it was written");
    });
  }
  accepts([&] {
    if (is_read) make_factors(read_kohya_modules(read));
  });
  accepts([&] {
    const PeftConfig parsed = parse_peft_config(config.text());
    accepts([&] {
      scales_of(parsed, {"encoder.0.q", "decoder.11.k_proj", std::string(300, 'a')});
    });
    if (is_read) read_peft_modules(parsed, read.tensors);
  });
  return 0;
}
