// What the standard library throws of a file system comes out of wshare's functions as Error.

#include <gtest/gtest.h>

#include <functional>

#include "support/bundle_test.h"
#include "wshare/append.h"
#include "wshare/diff.h"
#include "wshare/extract_lora.h"
#include "wshare/import_adapter.h"
#include "wshare/inspect.h"
#include "wshare/remove.h"
#include "wshare/restore.h"

namespace wshare {
namespace {

class SystemErrors : public test::BundleTest {};

// A link that leads to itself: std::filesystem throws where it does not expect one.
TEST_F(SystemErrors, ComeOutAsError) {
  add("a.onnx", {test::raw("w", test::noise(5000, 1))});
  make();
  const std::filesystem::path loop = temp_ / "loop", below = loop / "x";
  std::filesystem::create_symlink(loop, loop);
  const std::filesystem::path bundle = temp_ / "bundle";
  const std::vector<ModelInput> models = inputs({"a.onnx"});
  struct Case {
    const char* name;
    std::function<void()> call;
  };
  for (const Case& c : {Case{"dedupe", [&] { dedupe(models, below, {}); }},
                        Case{"extract_lora", [&] { extract_lora(models, below, {}); }},
                        Case{"restore", [&] { restore(bundle, {}, below, {}); }},
                        Case{"restore of it", [&] { restore(below, {}, temp_ / "back", {}); }},
                        Case{"append", [&] { append(below, models, {}); }},
                        Case{"remove", [&] { remove_models(below, {"a"}, {}); }},
                        Case{"import_adapter", [&] { import_adapter(bundle, below, {}); }},
                        Case{"verify", [&] { verify(below, {1}); }},
                        Case{"inspect", [&] { inspect({below.string()}, {}); }},
                        Case{"diff", [&] { diff(below, temp_ / "in/a.onnx", {}); }},
                        Case{"resolve_inputs", [&] { resolve_inputs({below.string()}); }}}) {
    SCOPED_TRACE(c.name);
    std::string message;
    EXPECT_EQ(test::code_of(c.call, &message), 3) << message;
    EXPECT_NE(message.find("loop"), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace wshare
