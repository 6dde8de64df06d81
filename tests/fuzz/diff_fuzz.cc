// A model beside another one, as [mode][model]: diff, and what extract-lora would make of the two.

#include "fuzz/files.h"
#include "wshare/diff.h"
#include "wshare/extract_lora.h"

using namespace wshare;
using namespace wshare::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string models[] = {read_file(WSHARE_TESTDATA "/external/embedded.onnx"),
                                       read_file(WSHARE_TESTDATA "/t5-seq2seq/encoder.onnx"),
                                       read_file(WSHARE_TESTDATA "/homes/same_bytes.onnx")};
  Input input(data, size);
  const uint8_t mode = input.byte();
  const std::filesystem::path known = work_folder() / "known.onnx",
                              given = work_folder() / "m.onnx";
  write_file(known, models[mode / 8 % 3]);
  write_file(given, input.rest());
  DiffOptions options;
  options.threads = 1;
  if ((mode & 1) != 0) accepts([&] { diff(known, given, options); });
  if ((mode & 2) != 0) accepts([&] { diff(given, known, options); });
  if ((mode & 4) == 0) return 0;
  ExtractOptions extracting;
  extracting.threads = 1;
  extracting.dry_run = true;
  extracting.base = "base=" + known.string();
  accepts([&] { extract_lora({{"task", given}}, "", extracting); });
  return 0;
}
