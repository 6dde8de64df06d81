// What opening one model of very many costs.

#include <malloc.h>

#include <optional>

#include "format/manifest/text.h"
#include "run/graphs.h"
#include "support/bundle_test.h"
#include "wshare/runtime.h"

namespace wshare::test {
namespace {

class LargeBundle : public BundleTest {
 protected:
  LargeBundle() {
    add("m.onnx", matmul_model(64, 512, floats(512, 1)));
    make();
  }

  // Gives the bundle `count` models more, of 12 tensors each, whose files are not there.
  void add_records(size_t count) {
    const fs::path folder = temp_ / "bundle";
    Manifest manifest = load_manifest(folder);
    const ModelRecord first = manifest.models.at(0);
    for (size_t i = 0; i < count; ++i) {
      ModelRecord& model = manifest.models.emplace_back(first);
      model.name = "customer-" + std::to_string(i);
      model.file = model.name + ".onnx";
      model.tensors.resize(12, first.tensors.at(0));
      for (TensorRecord& tensor : model.tensors)
        tensor.extent.blob = static_cast<uint32_t>(manifest.blobs.size());
      manifest.blobs.push_back({model.name + ".bin", uint64_t{1} << 30});
    }
    write_file(folder / kManifestName, to_json(manifest));
  }

  // The bytes of the heap that an open bundle and a session take.
  size_t open_bytes() const {
    const auto heap = [] {
      const struct mallinfo2 info = mallinfo2();
      return info.uordblks + info.hblkhd;
    };
    const size_t before = heap();
    Bundle bundle = Bundle::open(temp_ / "bundle");
    const Session session = bundle.session("m");
    const size_t after = heap();
    return after > before ? after - before : 0;
  }
};

// The figure is that of glibc's heap; sanitizers have their own, which says 0.
TEST_F(LargeBundle, OfTenThousandModelsTakesTwoMibMoreThanOneOfOne) {
  open_bytes();  // what ONNX Runtime sets up once
  const size_t one = open_bytes();
  add_records(9999);
  EXPECT_LE(open_bytes(), one + (size_t{2} << 20));
}

TEST_F(LargeBundle, KnowsAllItsModels) {
  add_records(9999);
  Bundle bundle = Bundle::open(temp_ / "bundle");
  const std::vector<std::string> models = bundle.models();
  ASSERT_EQ(models.size(), 10000u);
  EXPECT_EQ(models[0], "m");
  EXPECT_EQ(models[9999], "customer-9998");
  std::string message, hint;
  EXPECT_EQ(code_of([&] { bundle.session("costumer-17"); }, &message, &hint), 4);
  EXPECT_EQ(message, "'costumer-17': no such model in the bundle");
  EXPECT_NE(hint.find("customer-17"), std::string::npos) << hint;
}

}  // namespace
}  // namespace wshare::test
