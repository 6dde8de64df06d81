// A model and its external data, as [mode][u16: size of the data][data][model]: what dedupe accepts
// verifies and comes back byte for byte, inspect looks at all of it.

#include <filesystem>

#include "fuzz/files.h"
#include "wshare/dedupe.h"
#include "wshare/inspect.h"
#include "wshare/restore.h"
#include "wshare/verify.h"

namespace fs = std::filesystem;
using namespace wshare;
using namespace wshare::fuzz;

namespace {

void look(const fs::path& model, uint64_t min_bytes) {
  InspectOptions options;
  options.threads = 1;
  options.min_bytes = min_bytes;
  options.contents = true;
  accepts([&] { inspect({model.string()}, options); });
}

// Both models in one bundle, which is small, since the first tensors are shared.
void round_trip(const fs::path& folder, const std::string& model, const std::string& external,
                const DedupeOptions& options) {
  const fs::path bundle = folder / "bundle", back = folder / "back";
  fs::remove_all(bundle);
  fs::remove_all(back);
  const std::vector<ModelInput> inputs = {{"m", folder / "m.onnx"}};
  if (!accepts([&] { dedupe(inputs, bundle, options); })) {
    expect(!fs::exists(bundle), "a refused model leaves no bundle");
    return;
  }
  expect(verify(bundle, {1}).empty(), "a new bundle verifies");
  RestoreOptions restoring;
  restoring.threads = 1;
  for (const RestoredModel& restored : restore(bundle, {}, back, restoring)) {
    expect(restored.identical && read_file(restored.path) == model, "a model comes back");
  }
  for (const char* file : {"e.bin", "sub/e.bin"}) {
    if (fs::exists(back / file)) expect(read_file(back / file) == external, "its data come back");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const uint8_t mode = input.byte();
  const std::string external = input.text(input.word()), model = input.rest();
  const fs::path folder = work_folder();
  write_file(folder / "m.onnx", model);
  write_file(folder / "e.bin", external);
  write_file(folder / "sub/e.bin", external);
  DedupeOptions options;
  options.threads = 1;
  options.min_bytes = (mode & 1) != 0 ? 1 : 64;
  options.explain = true;
  if ((mode & 2) != 0) options.split_uses = SplitUses::kByNode;
  if ((mode & 4) != 0) options.split_uses = SplitUses::kByOperator;
  options.keep_identity = (mode & 16) != 0;
  if ((mode & 8) != 0) {
    look(folder / "m.onnx", options.min_bytes);
  } else {
    round_trip(folder, model, external, options);
  }
  return 0;
}
