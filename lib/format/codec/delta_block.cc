// One block of a residual of the second format: how many floats away the actual elements are from
// the predicted ones, coded by lanes (lanes.h) under the exponent of the predicted element as class
// (residual_block.cc says why).
//
// Fine-tuning leaves the rows of an embedding alone whose words it has not met: rows that are as
// predicted are marked by a bit and left out of all else, so that they do not count as moves of 0
// beside those of other rows. (Measured on such models: 3 % less for fp32, 8 % for bf16.)
//
// Sixteen tables are most of what a small tensor takes. All classes share one there: the error of a
// prediction is about the same everywhere, so in steps it doubles with each exponent below the top,
// and a move's symbol moves by an octave.
#include "format/codec/delta_block.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "format/codec/lane_encoder.h"
#include "format/codec/lane_tables.h"
#include "format/codec/moves.h"
#include "format/matrix.h"
#include "util/as_text.h"
#include "util/load.h"
#include "wshare/error.h"

namespace wshare {
namespace {

constexpr unsigned kLanesMask = 7;  // log2 of the lanes
constexpr unsigned kMostLanesLog2 = 5;
constexpr unsigned kShiftedFlag = 8;  // one table for all classes
constexpr unsigned kRowsFlag = 16;    // with marks of rows
constexpr unsigned kAllFlags = kLanesMask | kShiftedFlag | kRowsFlag;

constexpr uint64_t kManyLanesCost = 8 * 65536 * kCostOfBit;
constexpr uint64_t kSomeCost = 8 * 8192 * kCostOfBit;
constexpr uint64_t kFewLanesCost = 8 * 256 * kCostOfBit;
constexpr size_t kManyElements = 131072;

[[noreturn]] void fail(const char* what) {
  throw Error(ErrorCode::kInvalid, std::string("residual: ") + what);
}

template <typename T>
T take(std::span<const std::byte>& bytes) {
  if (bytes.size() < sizeof(T)) fail("ends early");
  const T number = load<T>(bytes.data());
  bytes = bytes.subspan(sizeof(T));
  return number;
}

// Calls use(row, first element, count) for each row of a block of `count` elements, or part of one.
template <typename Use>
void for_each_row(size_t count, const BlockRows& rows, const Use& use) {
  size_t row = 0;
  for (size_t first = 0; first < count; ++row) {
    const uint64_t left = first == 0 ? rows.cols - rows.first : rows.cols;
    const size_t some = static_cast<size_t>(std::min<uint64_t>(left, count - first));
    use(row, first, some);
    first += some;
  }
}

size_t row_count(size_t count, const BlockRows& rows) {
  return static_cast<size_t>((rows.first + count - 1) / rows.cols + 1);
}

bool has_mark(std::span<const std::byte> marks, size_t row) {
  return (std::to_integer<unsigned>(marks[row / 8]) >> row % 8 & 1) != 0;
}

using ClassCounts = std::array<uint32_t, kSymbolClasses>;
using Counts = std::array<SymbolCounts, kSymbolClasses>;

// The rows of a block that differ from their prediction, one after the other.
struct ChangedRows {
  std::vector<std::byte> predicted, actual;
  ClassCounts equal{};  // elements of the other rows
};

template <typename Bits>
ClassCounts count_classes(std::span<const std::byte> values, const FloatSteps<Bits>& layout,
                          Bits top) {
  std::vector<uint8_t> classes(values.size() / sizeof(Bits));
  find_classes(values.data(), classes.size(), layout, top, classes.data());
  ClassCounts counts{};
  for (const uint8_t each : classes) ++counts[each];
  return counts;
}

// The moves of some elements, and how often each symbol occurs in a class.
template <typename Bits>
struct CountedMoves {
  CountedMoves(std::span<const std::byte> predicted, std::span<const std::byte> actual,
               const FloatSteps<Bits>& layout, Bits top)
      : count(predicted.size() / sizeof(Bits)),
        classes(std::make_unique_for_overwrite<uint8_t[]>(count)),
        symbols(std::make_unique_for_overwrite<uint8_t[]>(count)),
        raw(std::make_unique_for_overwrite<Bits[]>(count)),
        counts(std::make_unique<Counts>()) {
    find_moves(predicted.data(), actual.data(), count, layout, top, classes.get(), symbols.get(),
               raw.get());
    count_symbols();
  }

  Moves<Bits> moves() const {
    return {{classes.get(), count}, {symbols.get(), count}, {raw.get(), count}};
  }

  size_t count;
  std::unique_ptr<uint8_t[]> classes, symbols;
  std::unique_ptr<Bits[]> raw;
  std::unique_ptr<Counts> counts;

 private:
  // Neighbours are counted apart: adding twice to one place waits.
  void count_symbols() {
    const auto other = std::make_unique<Counts>();
    size_t i = 0;
    for (; i + 2 <= count; i += 2) {
      ++(*counts)[classes[i]][symbols[i]];
      ++(*other)[classes[i + 1]][symbols[i + 1]];
    }
    if (i < count) ++(*counts)[classes[i]][symbols[i]];
    for (size_t of = 0; of < kSymbolClasses; ++of) {
      for (size_t symbol = 0; symbol < kLaneSymbols; ++symbol)
        (*counts)[of][symbol] += (*other)[of][symbol];
    }
  }
};

size_t shift_of(size_t own_class) { return kMostShift - kClassOctave * own_class; }

// How a block is going to be written.
struct Coding {
  uint64_t cost = 0;  // of symbols and tables
  bool shifted = false;
  std::string tables;
  std::array<ShareRanges, kSymbolClasses> shares{};  // of the symbols of each class
};

Coding code_by_class(const Counts& counts) {
  Coding coding;
  uint16_t used = 0;
  for (size_t i = 0; i < kSymbolClasses; ++i) {
    if (counts[i] == SymbolCounts{}) continue;
    LaneTable table = make_lane_table(counts[i]);
    used = static_cast<uint16_t>(used | 1 << i);
    coding.tables += table.code;
    coding.cost += table.cost;
    coding.shares[i] = ranges_of(table.shares);
  }
  coding.cost += 8 * sizeof(used) * kCostOfBit;
  coding.tables.insert(0, reinterpret_cast<const char*>(&used), sizeof(used));
  return coding;
}

Coding code_shifted(const Counts& counts) {
  SymbolCounts all{};
  for (size_t i = 0; i < kSymbolClasses; ++i) {
    all[0] += counts[i][0];
    for (size_t symbol = 1; symbol + shift_of(i) < kLaneSymbols; ++symbol)
      all[symbol + shift_of(i)] += counts[i][symbol];
  }
  const LaneTable table = make_lane_table(all);
  const ShareRanges ranges = ranges_of(table.shares);
  Coding coding{table.cost, true, table.code, {}};
  for (size_t i = 0; i < kSymbolClasses; ++i) {
    coding.shares[i][0] = ranges[0];
    for (size_t symbol = 1; symbol + shift_of(i) < kLaneSymbols; ++symbol)
      coding.shares[i][symbol] = ranges[symbol + shift_of(i)];
  }
  return coding;
}

// The cheaper of the two; one table for all only where a block of `count` elements is too small for
// many lanes.
template <typename Bits>
Coding choose_coding(const Counts& counts, size_t count) {
  Coding by_class = code_by_class(counts);
  if constexpr (sizeof(Bits) <= 4) {
    if (count < kManyElements && by_class.cost < kManyLanesCost) {
      Coding shifted = code_shifted(counts);
      if (shifted.cost < by_class.cost) return shifted;
    }
  }
  return by_class;
}

// Many lanes are decoded faster, but each takes 4 bytes.
unsigned lanes_log2(size_t count, uint64_t cost) {
  if (cost >= kManyLanesCost || (count >= kManyElements && cost >= kSomeCost)) return 5;
  return cost < kFewLanesCost ? 0 : 2;
}

template <typename Bits>
class Encoder {
 public:
  Encoder(std::span<const std::byte> predicted, std::span<const std::byte> actual, int32_t dtype,
          const BlockRows& rows, LaneForm form, std::string& out)
      : predicted_(predicted),
        actual_(actual),
        layout_(dtype),
        rows_(rows),
        form_(form),
        out_(out) {}

  uint64_t encode() {
    if (std::memcmp(predicted_.data(), actual_.data(), predicted_.size()) == 0) return 0;
    top_ = top_exponent(predicted_.data(), block_count(), layout_);
    const uint64_t differing = rows_.cols < kFewestCols ? 0 : encode_changed_rows();
    if (differing > 0) return differing;
    const CountedMoves<Bits> moves(predicted_, actual_, layout_, top_);
    return write(moves, choose_coding<Bits>(*moves.counts, block_count()), {});
  }

 private:
  static constexpr uint64_t kFewestCols = 8;

  size_t block_count() const { return predicted_.size() / sizeof(Bits); }

  // Returns 0 if nothing was written, as marks of rows do not pay off.
  uint64_t encode_changed_rows() {
    const std::vector<std::byte> marks = mark_changed_rows();
    if (marks.empty()) return 0;
    const ChangedRows changed = take_changed_rows(marks);
    const CountedMoves<Bits> moves(changed.predicted, changed.actual, layout_, top_);
    const Coding coding = choose_coding<Bits>(*moves.counts, block_count());
    Counts with_equal = *moves.counts;
    for (size_t i = 0; i < kSymbolClasses; ++i) with_equal[i][0] += changed.equal[i];
    if (choose_coding<Bits>(with_equal, block_count()).cost <
        coding.cost + 8 * marks.size() * kCostOfBit) {
      return 0;
    }
    return write(moves, coding, marks);
  }

  std::span<const std::byte> part(std::span<const std::byte> bytes, size_t first,
                                  size_t count) const {
    return bytes.subspan(first * sizeof(Bits), count * sizeof(Bits));
  }

  // Returns nothing if all rows differ.
  std::vector<std::byte> mark_changed_rows() const {
    std::vector<std::byte> marks((row_count(block_count(), rows_) + 7) / 8);
    bool all = true;
    for_each_row(block_count(), rows_, [&](size_t row, size_t first, size_t count) {
      const auto before = part(predicted_, first, count), after = part(actual_, first, count);
      if (std::memcmp(before.data(), after.data(), before.size()) == 0)
        all = false;
      else
        marks[row / 8] |= static_cast<std::byte>(1 << row % 8);
    });
    if (all) marks.clear();
    return marks;
  }

  ChangedRows take_changed_rows(std::span<const std::byte> marks) const {
    ChangedRows rows;
    std::vector<std::byte> equal;
    for_each_row(block_count(), rows_, [&](size_t row, size_t first, size_t count) {
      const auto before = part(predicted_, first, count), after = part(actual_, first, count);
      if (!has_mark(marks, row)) {
        equal.insert(equal.end(), before.begin(), before.end());
        return;
      }
      rows.predicted.insert(rows.predicted.end(), before.begin(), before.end());
      rows.actual.insert(rows.actual.end(), after.begin(), after.end());
    });
    rows.equal = count_classes(equal, layout_, top_);
    return rows;
  }

  uint64_t write(const CountedMoves<Bits>& moves, const Coding& coding,
                 std::span<const std::byte> marks) {
    const unsigned log2 = lanes_log2(block_count(), coding.cost);
    out_ += static_cast<char>(log2 | (coding.shifted ? kShiftedFlag : 0) |
                              (marks.empty() ? 0 : kRowsFlag));
    out_ += as_text(marks);
    const auto top = static_cast<uint16_t>(top_);
    out_.append(reinterpret_cast<const char*>(&top), sizeof(top));
    out_ += coding.tables;
    encode_lanes(moves.moves(), coding.shares, size_t{1} << log2, form_, out_);
    uint64_t differing = moves.count;
    for (const SymbolCounts& counts : *moves.counts) differing -= counts[0];
    return differing;
  }

  std::span<const std::byte> predicted_, actual_;
  const FloatSteps<Bits> layout_;
  const BlockRows rows_;
  LaneForm form_;
  std::string& out_;
  Bits top_{};
};

// What a block's code says before its numbers.
template <typename Bits>
class Decoder {
 public:
  Decoder(std::span<const std::byte> bytes, int32_t dtype, const BlockRows& rows, LaneForm form)
      : bytes_(bytes), layout_(dtype), rows_(rows), form_(form) {}

  void decode(std::span<std::byte> values) {
    const auto flags = std::to_integer<unsigned>(take<std::byte>(bytes_));
    if ((flags & ~kAllFlags) != 0 || (flags & kLanesMask) > kMostLanesLog2 ||
        ((flags & kShiftedFlag) != 0 && sizeof(Bits) > 4)) {
      fail("has flags that nobody writes");
    }
    lanes_ = size_t{1} << (flags & kLanesMask);
    shifted_ = (flags & kShiftedFlag) != 0;
    if ((flags & kRowsFlag) == 0) return decode_elements(values);
    const size_t count = values.size() / sizeof(Bits);
    const size_t marks_size = (row_count(count, rows_) + 7) / 8;
    if (marks_size > bytes_.size()) fail("ends early");
    const std::span<const std::byte> marks = bytes_.first(marks_size);
    bytes_ = bytes_.subspan(marks_size);
    decode_rows(marks, values);
  }

 private:
  void decode_rows(std::span<const std::byte> marks, std::span<std::byte> values) {
    const size_t count = values.size() / sizeof(Bits);
    std::vector<std::byte> changed;
    const auto for_each_changed = [&](const auto& use) {
      for_each_row(count, rows_, [&](size_t row, size_t first, size_t some) {
        if (has_mark(marks, row)) use(values.subspan(first * sizeof(Bits), some * sizeof(Bits)));
      });
    };
    for_each_changed([&](std::span<const std::byte> row) {
      changed.insert(changed.end(), row.begin(), row.end());
    });
    decode_elements(changed);
    const std::byte* from = changed.data();
    for_each_changed([&](std::span<std::byte> row) {
      std::memcpy(row.data(), from, row.size());
      from += row.size();
    });
  }

  void decode_elements(std::span<std::byte> values) {
    const Bits top = take<uint16_t>(bytes_);
    if (top >= layout_.special) fail("its exponent is too large");
    const auto entries = take_tables();
    LaneStream stream{};
    for (size_t lane = 0; lane < lanes_; ++lane) {
      stream.numbers[lane] = take<uint32_t>(bytes_);
      if (stream.numbers[lane] < kLaneStart) fail("is damaged");
    }
    const std::vector<uint16_t> words = take_words(values.size() / sizeof(Bits));
    stream.next = words.data();
    stream.end = words.data() + words.size() - kWordPadding;
    decode_lanes<Bits>({entries.get(), layout_, top, shifted_, lanes_}, stream, values, form_);
  }

  // A class without a table has entries of 0 only: symbol 0, and one share.
  std::unique_ptr<uint32_t[]> take_tables() {
    const size_t largest = largest_symbol(FloatSteps<Bits>::kBits);
    if (shifted_) {
      auto entries = std::make_unique_for_overwrite<uint32_t[]>(kShares);
      fill_entries(take_lane_table(bytes_, largest + kMostShift), entries.get());
      return entries;
    }
    auto entries = std::make_unique_for_overwrite<uint32_t[]>(kShares * kSymbolClasses);
    const auto used = take<uint16_t>(bytes_);
    for (size_t i = 0; i < kSymbolClasses; ++i) {
      uint32_t* own = entries.get() + i * kShares;
      if ((used >> i & 1) != 0)
        fill_entries(take_lane_table(bytes_, largest), own);
      else
        std::fill_n(own, kShares, 0);
    }
    return entries;
  }

  // All that is left, and zeros that may be read behind it.
  std::vector<uint16_t> take_words(size_t elements) {
    constexpr size_t kMostOfElement = 1 + sizeof(Bits) * 8 / kPieceBits;
    if (bytes_.size() % sizeof(uint16_t) != 0 ||
        bytes_.size() / sizeof(uint16_t) > elements * kMostOfElement) {
      fail("has bytes that are not used");
    }
    std::vector<uint16_t> words(bytes_.size() / sizeof(uint16_t) + kWordPadding);
    if (!bytes_.empty()) std::memcpy(words.data(), bytes_.data(), bytes_.size());
    return words;
  }

  std::span<const std::byte> bytes_;
  const FloatSteps<Bits> layout_;
  const BlockRows rows_;
  LaneForm form_;
  size_t lanes_ = 0;
  bool shifted_ = false;
};

}  // namespace

uint64_t encode_delta_block(std::span<const std::byte> predicted, std::span<const std::byte> actual,
                            int32_t dtype, const BlockRows& rows, LaneForm form, std::string& out) {
  return with_bits(dtype, [&]<typename Bits>(Bits) {
    return Encoder<Bits>(predicted, actual, dtype, rows, form, out).encode();
  });
}

void decode_delta_block(std::span<const std::byte> bytes, int32_t dtype, const BlockRows& rows,
                        std::span<std::byte> values, LaneForm form) {
  with_bits(dtype,
            [&]<typename Bits>(Bits) { Decoder<Bits>(bytes, dtype, rows, form).decode(values); });
}

}  // namespace wshare
