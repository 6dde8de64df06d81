// What PEFT saves, as [u16: size of the configuration][adapter_config.json][.safetensors].

#include "format/safetensors.h"
#include "fuzz/fuzz.h"
#include "lora/peft.h"

using namespace wshare;
using namespace wshare::fuzz;

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
    const PeftConfig parsed = parse_peft_config(config.text());
    accepts([&] {
      scales_of(parsed, {"encoder.0.q", "decoder.11.k_proj", std::string(300, 'a')});
    });
    if (is_read) read_peft_modules(parsed, read.tensors);
  });
  return 0;
}
