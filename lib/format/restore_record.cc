#include "format/restore_record.h"

#include <zstd.h>

#include <algorithm>
#include <bit>
#include <memory>
#include <span>

#include "util/wire.h"
#include "wshare/error.h"

namespace wshare {
namespace {

constexpr int kLevel = 3;
constexpr uint64_t kVersion = 1;
// What runs, locations and pieces may take: three million pieces.
constexpr uint64_t kLargestHead = uint64_t{64} << 20;
constexpr uint64_t kLargestOriginal = uint64_t{1} << 32;  // an .onnx file has less than 2 GiB
// What a record unpacks to is bounded by what the files hold, its own bytes and the model that it
// is packed against. Literals are varint fields beside what the model holds, too; of one repeated
// number they may be of any size, so the writer fills up the record (filler()).
constexpr uint64_t kSmallHead = uint64_t{1} << 20, kSmallLiteral = uint64_t{64} << 20;
constexpr uint64_t kMostPerByte = 64;
// An external file is named by a tensor or a node.
constexpr uint64_t kFewExternals = 64, kModelBytesPerExternal = 4;
// Of what zstd reads, a block of one repeated byte says most: 128 KiB in 4 bytes. Source: RFC 8878,
// 3.1.1.2.
constexpr uint64_t kLargestRatio = 1 << 15;

constexpr size_t kFarBytes = size_t{1} << 20;  // beyond zstd's usual reach at this level

constexpr int kLargestTableLog = 17;   // of zstd's tables; larger ones bring nothing at this level
constexpr int kLargestWindowLog = 31;  // ZSTD_WINDOWLOG_MAX on 64-bit machines

// What a record may hold.
struct Most {
  uint64_t head, literal, externals;
};

Most most_in(uint64_t packed_bytes, std::string_view model) {
  const uint64_t more = kMostPerByte * (packed_bytes + model.size());
  return {std::min(kLargestHead, kSmallHead + more), kSmallLiteral + more,
          kFewExternals + model.size() / kModelBytesPerExternal};
}

// A frame that zstd skips, of `size` bytes and its own eight. Source: RFC 8878, 3.1.2.
std::string filler(uint64_t size) {
  std::string frame = "\x50\x2a\x4d\x18";
  for (int shift = 0; shift < 32; shift += 8) frame += static_cast<char>(size >> shift);
  frame.append(static_cast<size_t>(size), '\0');
  return frame;
}

// The smallest window in which `bytes` are one stretch, within zstd's limits.
int window_log(size_t bytes) {
  return std::clamp(static_cast<int>(std::bit_width(bytes)), 10, kLargestWindowLog);
}

uint64_t take_count(std::span<const std::byte>& bytes) {
  const uint64_t count = take_varint(bytes);
  // Each counted thing takes at least one byte.
  if (count > bytes.size())
    throw Error(ErrorCode::kInvalid, "restore record: a count is too large");
  return count;
}

std::string take_text(std::span<const std::byte>& bytes, uint64_t size) {
  if (size > bytes.size()) throw Error(ErrorCode::kInvalid, "restore record: ends early");
  std::string text(reinterpret_cast<const char*>(bytes.data()), static_cast<size_t>(size));
  bytes = bytes.subspan(static_cast<size_t>(size));
  return text;
}

// Takes `plain` apart; what is left of it is the literal, so that no second copy of that is made.
RestoreRecord read_record(std::string plain, const Most& most) {
  const size_t head_end = static_cast<size_t>(std::min<uint64_t>(plain.size(), most.head));
  std::span<const std::byte> bytes = std::as_bytes(std::span(plain)).first(head_end);
  if (take_varint(bytes) != kVersion)
    throw Error(ErrorCode::kUnsupported, "restore record: unknown version");
  RestoreRecord record;
  uint64_t runs = take_count(bytes);
  record.runs.reserve(std::min<uint64_t>(runs, bytes.size() / 2));
  for (; runs > 0; --runs) {
    LiteralRun run;
    run.literal_size = take_varint(bytes);
    const uint64_t tensor = take_varint(bytes);
    if (tensor > UINT32_MAX)
      throw Error(ErrorCode::kInvalid, "restore record: a tensor index is too large");
    run.tensor = static_cast<uint32_t>(tensor);
    record.runs.push_back(run);
  }
  const uint64_t externals = take_count(bytes);
  if (externals > most.externals) {
    throw Error(ErrorCode::kInvalid, "restore record: names " + std::to_string(externals) +
                                         " external files, the model can name at most " +
                                         std::to_string(most.externals));
  }
  for (uint64_t n = externals; n > 0; --n) {
    ExternalRecord external;
    external.location = take_text(bytes, take_varint(bytes));
    external.size = take_varint(bytes);
    uint64_t pieces = take_count(bytes);
    external.pieces.reserve(std::min<uint64_t>(pieces, bytes.size() / 3));
    for (; pieces > 0; --pieces) {
      ExternalPiece piece;
      const uint64_t kind = take_varint(bytes);
      if (kind > 2) throw Error(ErrorCode::kInvalid, "restore record: unknown piece");
      piece.kind = static_cast<ExternalPiece::Kind>(kind);
      piece.offset = take_varint(bytes);
      piece.value = take_varint(bytes);
      external.pieces.push_back(piece);
    }
    record.external.push_back(std::move(external));
  }
  plain.erase(0, head_end - bytes.size());
  record.literal = std::move(plain);
  return record;
}

// Everything of `record` but the literal.
std::string head_of(const RestoreRecord& record) {
  std::string head;
  append_varint(head, kVersion);
  append_varint(head, record.runs.size());
  for (const LiteralRun& run : record.runs) {
    append_varint(head, run.literal_size);
    append_varint(head, run.tensor);
  }
  append_varint(head, record.external.size());
  for (const ExternalRecord& external : record.external) {
    append_varint(head, external.location.size());
    head += external.location;
    append_varint(head, external.size);
    append_varint(head, external.pieces.size());
    for (const ExternalPiece& piece : external.pieces) {
      append_varint(head, static_cast<uint64_t>(piece.kind));
      append_varint(head, piece.offset);
      append_varint(head, piece.value);
    }
  }
  if (head.size() > kLargestHead) {
    throw Error(ErrorCode::kUnsupported, "restore record: needs " + std::to_string(head.size()) +
                                             " bytes for the places of tensors, at most " +
                                             std::to_string(kLargestHead) + " are possible");
  }
  return head;
}

}  // namespace

std::string pack_record(RestoreRecord record, std::string_view model) {
  const Most most = most_in(0, model);
  if (record.external.size() > most.externals) {
    throw Error(ErrorCode::kUnsupported, "has " + std::to_string(record.external.size()) +
                                             " external files, at most " +
                                             std::to_string(most.externals) + " are possible");
  }
  // A literal may be as large as the weights (varint fields), so no copy of it lives longer than it
  // must.
  std::string plain = head_of(record);
  const uint64_t head_size = plain.size(), literal_size = record.literal.size();
  plain.reserve(plain.size() + record.literal.size());
  plain += record.literal;
  std::string().swap(record.literal);
  // Small models are many, and fresh tables for each cost more than their compression.
  thread_local const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(),
                                                                                  ZSTD_freeCCtx);
  if (context == nullptr) throw std::bad_alloc();
  ZSTD_CCtx_reset(context.get(), ZSTD_reset_session_and_parameters);
  std::string packed(ZSTD_compressBound(plain.size()), '\0');
  const size_t reach = plain.size() + model.size();
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, kLevel);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_windowLog, window_log(reach));
  const int table_log = std::min(window_log(reach), kLargestTableLog);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_hashLog, table_log);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_chainLog, table_log);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_enableLongDistanceMatching,
                         reach > kFarBytes ? 1 : 0);
  ZSTD_CCtx_refPrefix(context.get(), model.data(), model.size());
  const size_t size =
      ZSTD_compress2(context.get(), packed.data(), packed.size(), plain.data(), plain.size());
  if (ZSTD_isError(size) != 0) throw Error(ErrorCode::kIo, "cannot compress a restore record");
  packed.resize(size);
  std::string().swap(plain);  // before the copy that the next line makes
  packed.shrink_to_fit();
  const uint64_t over = std::max(head_size - std::min(head_size, most.head),
                                 literal_size - std::min(literal_size, most.literal));
  const uint64_t fewest = over / kMostPerByte + 1;
  if (over > 0 && packed.size() < fewest) packed += filler(fewest - packed.size());
  return packed;
}

RestoreRecord unpack_record(std::string_view bytes, std::string_view model,
                            uint64_t original_bytes) {
  const unsigned long long size = ZSTD_getFrameContentSize(bytes.data(), bytes.size());
  if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR) {
    throw Error(ErrorCode::kInvalid, "restore record: is damaged");
  }
  const Most most = most_in(bytes.size(), model);
  const uint64_t literal = std::min({most.literal, original_bytes, kLargestOriginal});
  const uint64_t all = std::min(most.head + literal, bytes.size() * kLargestRatio);
  if (size > all) {
    throw Error(ErrorCode::kInvalid, "restore record: claims " + std::to_string(size) +
                                         " bytes, can hold at most " + std::to_string(all));
  }
  const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(),
                                                                     ZSTD_freeDCtx);
  if (context == nullptr) throw std::bad_alloc();
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kLargestWindowLog);
  ZSTD_DCtx_refPrefix(context.get(), model.data(), model.size());
  std::string plain(static_cast<size_t>(size), '\0');
  const size_t got =
      ZSTD_decompressDCtx(context.get(), plain.data(), plain.size(), bytes.data(), bytes.size());
  if (ZSTD_isError(got) != 0 || got != plain.size())
    throw Error(ErrorCode::kInvalid, "restore record: is damaged");
  return read_record(std::move(plain), most);
}

}  // namespace wshare
