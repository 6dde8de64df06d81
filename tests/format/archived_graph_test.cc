// Graphs of archived models, as they lie compressed in a bundle.

#include "format/archived_graph.h"

#include <gtest/gtest.h>

#include <string>

#include "support/bytes.h"
#include "support/errors.h"
#include "support/files.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using test::hash_of;

// A bundle that has nothing but the compressed graph, in the file "a".
struct OneGraph {
  explicit OneGraph(const std::string& packed) {
    test::write_file(temp / "a", packed);
    manifest.blobs = {{"a", packed.size()}};
    model.name = "m";
    model.graph = {0, 0, packed.size()};
    model.graph_hash = hash_of(packed);
  }

  std::string unpack() const { return unpack_graph(model, StoredFiles(temp.path(), manifest)); }

  test::TempFolder temp;
  Manifest manifest;
  ArchivedRecord model;
};

TEST(UnpackGraph, GivesWhatWasPacked) {
  const std::string graph = test::noise(5000, 1) + std::string(100000, 'x');
  const std::string packed = pack_graph(graph);
  EXPECT_LT(packed.size(), 6000u);
  OneGraph one(packed);
  one.model.size = graph.size();
  one.model.hash = hash_of(graph);
  EXPECT_TRUE(one.unpack() == graph);
}

TEST(UnpackGraph, RefusesWhatTheManifestDoesNotName) {
  const std::string graph(1000, 'x');
  OneGraph one(pack_graph(graph));
  one.model.size = 999;
  one.model.hash = hash_of(graph);
  EXPECT_EQ(test::code_of([&] { one.unpack(); }), 4);
  one.model.size = 1000;
  one.model.hash = hash_of("another");
  EXPECT_EQ(test::code_of([&] { one.unpack(); }), 4);
  one.model.graph_hash = hash_of("another");
  EXPECT_EQ(test::code_of([&] { one.unpack(); }), 4);
}

TEST(UnpackGraph, TakesNoMoreMemoryThanTheBundleIsWorth) {
  // 2 GiB, a frame says, in some bytes.
  OneGraph one(std::string("\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x80\x00\x00\x00\x00\x01\x00\x00", 16));
  one.model.size = uint64_t{1} << 31;
  EXPECT_NE(test::message_of([&] { one.unpack(); }).find("cannot have the 2147483648 bytes"),
            std::string::npos);
}

TEST(PackGraph, RefusesWhatNobodyWouldUnpack) {
  EXPECT_EQ(test::code_of([] { pack_graph(std::string(size_t{80} << 20, 'x')); }), 5);
}

}  // namespace
}  // namespace wshare
