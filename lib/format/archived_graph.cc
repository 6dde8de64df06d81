#include "format/archived_graph.h"

#include <zstd.h>

#include <memory>
#include <new>

#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

// Graphs are small, and an archive is made once: 19 takes a quarter less room than 3 for the graph
// of a transformer, and a tenth of a second.
constexpr int kLevel = 19, kFastLevel = 3;
constexpr size_t kLargeGraph = size_t{16} << 20;  // inline tensors, mostly

constexpr uint64_t kSmallGraph = uint64_t{64} << 20, kMostPerByte = 64;

uint64_t most_of(uint64_t packed_bytes) { return kSmallGraph + kMostPerByte * packed_bytes; }

[[noreturn]] void fail_damaged(const ArchivedRecord& model, const std::string& why) {
  throw Error(ErrorCode::kInvalid, in_quotes(model.name) + ": its archived graph " + why,
              kDamageHint);
}

}  // namespace

std::string pack_graph(std::string_view graph) {
  std::string packed(ZSTD_compressBound(graph.size()), '\0');
  const int level = graph.size() < kLargeGraph ? kLevel : kFastLevel;
  const size_t size =
      ZSTD_compress(packed.data(), packed.size(), graph.data(), graph.size(), level);
  if (ZSTD_isError(size) != 0) throw Error(ErrorCode::kIo, "cannot compress a graph");
  packed.resize(size);
  packed.shrink_to_fit();
  if (graph.size() <= most_of(packed.size())) return packed;
  throw Error(ErrorCode::kUnsupported, "its graph of " + format_bytes(graph.size()) +
                                           " compresses to " + format_bytes(packed.size()) +
                                           ", which nobody would unpack again");
}

std::string unpack_graph(const ArchivedRecord& model, const StoredFiles& files) {
  const std::span<const std::byte> packed = files.bytes(model.graph);
  if (content_hash(packed) != model.graph_hash)
    fail_damaged(model, "does not have the manifest's hash");
  if (model.size > most_of(packed.size()) ||
      ZSTD_getFrameContentSize(packed.data(), packed.size()) != model.size)
    fail_damaged(model, "cannot have the " + std::to_string(model.size) + " bytes it should have");
  std::string graph(static_cast<size_t>(model.size), '\0');
  const size_t got = ZSTD_decompress(graph.data(), graph.size(), packed.data(), packed.size());
  if (got != graph.size() || content_hash(std::as_bytes(std::span(graph))) != model.hash)
    fail_damaged(model, "is not the one that the manifest names");
  return graph;
}

}  // namespace wshare
