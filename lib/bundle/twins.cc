#include "bundle/twins.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "util/load.h"
#include "util/parallel.h"

// Problem: which matrices are the transpose of another? Comparing all with all is quadratic, and
// reading a transpose walks memory across the rows.
//
// Idea: only [r, c] and [c, r] with elements of one size can be twins; what has no such partner is
// never read. A twin has the same elements in another order, so a sum over mixed elements is equal:
// one pass in the order of memory, cut into pieces for all cores. What agrees in shape and sum is
// compared in blocks of 64 x 64, whose rows on both sides stay in the cache. The comparison
// decides; the sum only chooses.
//
// Cost: candidates are read once for the sum, twins once more. k matrices of the same elements in
// different orders cost k^2 / 2 comparisons, each ending soon after its first difference.

namespace wshare {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{4} << 20;  // a multiple of each element size
constexpr uint64_t kBlock = 64;

struct Wide {
  uint64_t low, high;
  bool operator==(const Wide&) const = default;
};

// Calls `use` with a zero of the unsigned type of `element_bytes`.
template <typename Use>
auto with_element(uint32_t element_bytes, const Use& use) {
  switch (element_bytes) {
    case 1:
      return use(uint8_t{});
    case 2:
      return use(uint16_t{});
    case 4:
      return use(uint32_t{});
    case 8:
      return use(uint64_t{});
    default:
      return use(Wide{});
  }
}

// Spreads every bit of `x`: a plain sum would not tell {1, 3} from {2, 2}.
// Source: the finalizer of SplitMix64, shortened.
uint64_t mix(uint64_t x) {
  x = (x + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 32) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}
uint64_t mix(const Wide& x) { return mix(x.low ^ mix(x.high)); }

template <typename Element>
uint64_t sum_of(Bytes piece) {
  uint64_t sum = 0;
  for (size_t at = 0; at < piece.size(); at += sizeof(Element)) {
    sum += mix(load<Element>(piece.data() + at));
  }
  return sum;
}

// Compares rows [first, last) of `a`, [rows, cols], with these columns of `b`, [cols, rows].
template <typename Element>
bool strip_equals(Bytes a, Bytes b, const ContentMatrix& of_a, uint64_t first, uint64_t last) {
  for (uint64_t begin = 0; begin < of_a.cols; begin += kBlock) {
    const uint64_t end = std::min(of_a.cols, begin + kBlock);
    for (uint64_t row = first; row < last; ++row) {
      for (uint64_t col = begin; col < end; ++col) {
        const auto left = load<Element>(a.data() + (row * of_a.cols + col) * sizeof(Element));
        const auto right = load<Element>(b.data() + (col * of_a.rows + row) * sizeof(Element));
        if (!(left == right)) return false;
      }
    }
  }
  return true;
}

bool is_transpose(Bytes a, Bytes b, ContentMatrix of_a, unsigned threads) {
  if (of_a.rows < of_a.cols) {  // strips along the longer side, so that there are many
    std::swap(a, b);
    std::swap(of_a.rows, of_a.cols);
  }
  std::atomic<bool> equal{true};
  parallel_for(static_cast<size_t>((of_a.rows - 1) / kBlock + 1), threads, [&](size_t strip) {
    if (!equal) return;
    const uint64_t first = strip * kBlock;
    const uint64_t last = std::min(of_a.rows, first + kBlock);
    const bool same = with_element(of_a.element_bytes, [&](auto zero) {
      return strip_equals<decltype(zero)>(a, b, of_a, first, last);
    });
    if (!same) equal = false;
  });
  return equal;
}

using Shape = std::tuple<uint64_t, uint64_t, uint32_t>;  // rows, columns, element size
Shape shape_of(const ContentMatrix& view) { return {view.rows, view.cols, view.element_bytes}; }
Shape transposed_shape_of(const ContentMatrix& view) {
  return {view.cols, view.rows, view.element_bytes};
}

// Removes the views that no other content fits.
void keep_candidates(std::vector<ContentMatrix>& views) {
  std::map<Shape, std::pair<uint32_t, uint32_t>> contents_of;  // the first and the last
  for (const ContentMatrix& view : views) {
    const auto [at, is_new] =
        contents_of.try_emplace(shape_of(view), std::pair(view.content, view.content));
    at->second.second = view.content;
  }
  std::erase_if(views, [&](const ContentMatrix& view) {
    const auto partner = contents_of.find(transposed_shape_of(view));
    return partner == contents_of.end() || partner->second == std::pair(view.content, view.content);
  });
}

// Returns the sum over the mixed elements of each view.
std::vector<uint64_t> sums_of(std::span<const Content> contents,
                              const std::vector<ContentMatrix>& views, unsigned threads) {
  std::vector<std::pair<size_t, uint64_t>> pieces;  // view, offset
  for (size_t v = 0; v < views.size(); ++v) {
    const uint64_t size = contents[views[v].content].bytes.size();
    for (uint64_t at = 0; at < size; at += kPieceBytes) pieces.emplace_back(v, at);
  }
  std::vector<std::atomic<uint64_t>> sums(views.size());
  parallel_for(pieces.size(), threads, [&](size_t i) {
    const auto [v, at] = pieces[i];
    const Bytes rest = contents[views[v].content].bytes.subspan(static_cast<size_t>(at));
    const Bytes piece = rest.first(std::min<size_t>(rest.size(), kPieceBytes));
    sums[v] += with_element(views[v].element_bytes,
                            [&](auto zero) { return sum_of<decltype(zero)>(piece); });
  });
  return {sums.begin(), sums.end()};
}

}  // namespace

std::vector<Twin> find_twins(std::span<const Content> contents, std::vector<ContentMatrix> views,
                             unsigned threads) {
  std::sort(views.begin(), views.end());
  views.erase(std::unique(views.begin(), views.end()), views.end());
  keep_candidates(views);
  const std::vector<uint64_t> sums = sums_of(contents, views, threads);
  std::map<std::pair<Shape, uint64_t>, std::vector<uint32_t>> earlier;
  std::vector<Twin> twins;
  for (size_t v = 0; v < views.size(); ++v) {
    const ContentMatrix& view = views[v];
    const bool known = !twins.empty() && twins.back().content == view.content;
    for (const uint32_t other : earlier[{transposed_shape_of(view), sums[v]}]) {
      if (known || other == view.content) continue;
      if (contents[other].host && contents[view.content].host) continue;
      if (!is_transpose(contents[view.content].bytes, contents[other].bytes, view, threads)) {
        continue;
      }
      twins.push_back({view.content, other});
      break;
    }
    earlier[{shape_of(view), sums[v]}].push_back(view.content);
  }
  return twins;
}

}  // namespace wshare
