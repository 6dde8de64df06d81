#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <tuple>

#include "format/manifest/extents.h"
#include "runtime/bundle_state.h"
#include "runtime/ort_errors.h"
#include "runtime/pack_fit.h"
#include "util/system_errors.h"
#include "util/text.h"
#include "wshare/error.h"
#include "wshare/runtime.h"

// Sessions take weights from the page cache, so the first runs over a bundle wait for the disk, and
// so do later ones where the system needed the memory for something else. Pages that are mapped and
// locked here are in the page cache, wherever else they are mapped: also for sessions over packs,
// whose files ONNX Runtime maps itself.

namespace wshare {
namespace {

// Extents of tensors lie one after another in their blobs: few calls serve many.
std::vector<Extent> joined(const std::vector<Extent>& extents) {
  const auto before = [](const Extent& a, const Extent& b) {
    return std::tie(a.blob, a.offset, a.size) < std::tie(b.blob, b.offset, b.size);
  };
  std::vector<Extent> ranges;
  for (const Extent& extent : std::set(extents.begin(), extents.end(), before)) {
    constexpr uint64_t kGap = uint64_t{1} << 16;  // what lies between them is padding
    if (!ranges.empty() && ranges.back().blob == extent.blob &&
        extent.offset <= ranges.back().offset + ranges.back().size + kGap) {
      Extent& last = ranges.back();
      last.size = std::max(last.offset + last.size, extent.offset + extent.size) - last.offset;
    } else if (extent.size > 0) {
      ranges.push_back(extent);
    }
  }
  return ranges;
}

[[noreturn]] void refuse_lock(const std::string& model, uint64_t bytes, int error) {
  rlimit limit{};
  ::getrlimit(RLIMIT_MEMLOCK, &limit);
  const std::string may =
      limit.rlim_cur == RLIM_INFINITY ? "any number" : std::to_string(limit.rlim_cur);
  throw Error(ErrorCode::kIo,
              in_quotes(model) + ": " + std::to_string(bytes) + " bytes cannot be locked: " +
                  std::strerror(error) + "; this process may lock " + may,
              "raise the limit (ulimit -l, LimitMEMLOCK= of systemd), or read only");
}

void read_all(std::span<const std::byte> bytes) {
#ifdef MADV_POPULATE_READ
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data()) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(bytes.data()) + bytes.size();
  if (::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_READ) == 0) return;
#endif
  [[maybe_unused]] volatile std::byte last{};
  for (size_t at = 0; at < bytes.size(); at += 4096) last = bytes[at];
}

// The pack that a session will be tried over first; null: none.
const PackRecord* find_pack(const BundleState& bundle, const ModelPart& part) {
  for (const PackRecord* const pack : in_order(part.packs, runtime_version())) {
    if (!why_unfit(*pack, part.model.hash).empty()) continue;
    const std::lock_guard lock(bundle.mutex);
    if (!bundle.refused_packs.contains(pack->model.file)) return pack;
  }
  return nullptr;
}

}  // namespace

uint64_t Bundle::prefault(const std::string& model, Prefault how) try {
  const std::shared_ptr<BundleState> bundle = opened_->now();
  const ModelPart part = bundle->manifest.read(model);
  std::vector<Extent> extents;
  if (const PackRecord* const pack =
          translate_errors(model, [&] { return find_pack(*bundle, part); })) {
    visit_pack_extents(*pack, [&](const Extent& extent) { extents.push_back(extent); });
  } else {
    for (const TensorRecord& tensor : part.model.tensors) extents.push_back(tensor.extent);
  }
  uint64_t bytes = 0;
  for (const Extent& range : joined(extents)) {
    const std::span<const std::byte> piece = bundle->files.bytes(range);
    if (how == Prefault::kRead) {
      read_all(piece);
    } else if (::mlock(piece.data(), piece.size()) != 0) {
      refuse_lock(model, piece.size(), errno);
    }
    bytes += piece.size();
  }
  return bytes;
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare
