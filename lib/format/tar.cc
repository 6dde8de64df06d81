#include "format/tar.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

#include "util/as_text.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare::tar {
namespace {

constexpr size_t kBlock = 512;
constexpr uint64_t kLongestName = 4096;
constexpr std::array<std::byte, 2 * kBlock> kZeros{};

// Where the fields of a header are. Source: pax(1), "ustar Interchange Format".
struct Field {
  size_t at, size;
};
constexpr Field kName{0, 100}, kMode{100, 8}, kOwner{108, 8}, kGroup{116, 8}, kSize{124, 12},
    kTime{136, 12}, kSum{148, 8}, kMagic{257, 8}, kPrefix{345, 155};
constexpr size_t kKind = 156;

[[noreturn]] void fail(const std::string& what) {
  throw Error(ErrorCode::kInvalid, "is no whole tar archive: " + what);
}

void put_text(std::string& block, Field field, std::string_view text) {
  block.replace(field.at, text.size(), text);
}

void put_octal(std::string& block, Field field, uint64_t value) {
  for (size_t i = field.size - 1; i-- > 0; value >>= 3)
    block[field.at + i] = static_cast<char>('0' + (value & 7));
}

void put_size(std::string& block, uint64_t size) {
  if (size >> 33 == 0) return put_octal(block, kSize, size);
  for (size_t i = kSize.size; i-- > 1; size >>= 8)
    block[kSize.at + i] = static_cast<char>(size & 255);
  block[kSize.at] = static_cast<char>(0x80);
}

// The checksum's own bytes count as spaces.
uint64_t sum_of(std::string_view block) {
  uint64_t sum = 0;
  for (size_t i = 0; i < kBlock; ++i) {
    const bool own = i >= kSum.at && i < kSum.at + kSum.size;
    sum += own ? ' ' : static_cast<unsigned char>(block[i]);
  }
  return sum;
}

std::string block_of(std::string_view name, uint64_t size, char kind) {
  std::string block(kBlock, '\0');
  put_text(block, kName, name);
  put_octal(block, kMode, kind == '5' ? 0755 : 0644);
  put_octal(block, kOwner, 0);
  put_octal(block, kGroup, 0);
  put_size(block, size);
  put_octal(block, kTime, 0);
  block[kKind] = kind;
  put_text(block, kMagic, std::string_view("ustar\00000", 8));
  put_octal(block, {kSum.at, 7}, sum_of(block));
  block[kSum.at + 7] = ' ';
  return block;
}

bool is_plain(std::string_view name) {
  return name.size() <= kName.size &&
         std::all_of(name.begin(), name.end(), [](char c) { return c > 0; });
}

// "LENGTH path=NAME\n", LENGTH counting itself.
std::string pax_record(std::string_view name) {
  const std::string rest = " path=" + std::string(name) + "\n";
  size_t length = rest.size();
  while (length != rest.size() + std::to_string(length).size())
    length = rest.size() + std::to_string(length).size();
  return std::to_string(length) + rest;
}

std::string_view text_at(std::string_view block, Field field) {
  const std::string_view text = block.substr(field.at, field.size);
  return text.substr(0, text.find('\0'));
}

uint64_t number_at(std::string_view block, Field field) {
  std::string_view text = block.substr(field.at, field.size);
  uint64_t value = 0;
  if ((text[0] & 0x80) != 0) {
    for (size_t i = 1; i < text.size(); ++i) {
      if (value >> 55 != 0) fail("a number is too large");
      value = value << 8 | static_cast<unsigned char>(text[i]);
    }
    return value;
  }
  text = text_at(block, field);
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  text = text.substr(0, text.find(' '));
  for (const char c : text) {
    if (c < '0' || c > '7') fail("a number is none");
    value = value << 3 | static_cast<uint64_t>(c - '0');
  }
  return value;
}

// The path in the records of a pax header, if there is one.
std::optional<std::string> path_in(std::string_view records) {
  std::optional<std::string> path;
  while (!records.empty()) {
    const size_t space = records.find(' ');
    const int64_t length = parse_decimal(records.substr(0, std::min(space, size_t{10})));
    if (space == std::string_view::npos || length <= static_cast<int64_t>(space) + 1 ||
        static_cast<uint64_t>(length) > records.size()) {
      fail("a record is cut");
    }
    std::string_view record = records.substr(space + 1, static_cast<size_t>(length) - space - 2);
    records.remove_prefix(static_cast<size_t>(length));
    constexpr std::string_view kKey = "path=";
    if (record.starts_with(kKey)) path = record.substr(kKey.size());
    if (record.starts_with("size=")) fail("a size is given twice");
  }
  return path;
}

class Reader {
 public:
  explicit Reader(std::span<const std::byte> archive) : rest_(archive) {}

  std::vector<Entry> read() {
    std::vector<Entry> entries;
    for (;;) {
      const std::string_view block = as_text(take(kBlock));
      if (block.find_first_not_of('\0') == std::string_view::npos) return entries;
      if (number_at(block, kSum) != sum_of(block)) fail("a header has another checksum");
      const uint64_t size = number_at(block, kSize);
      const std::span<const std::byte> bytes = take(size);
      take(padding(size).size());
      if (!take_long_name(block[kKind], bytes)) entries.push_back(entry(block, bytes));
    }
  }

 private:
  std::span<const std::byte> take(uint64_t size) {
    if (size > rest_.size()) fail("it ends too early");
    const std::span<const std::byte> bytes = rest_.first(static_cast<size_t>(size));
    rest_ = rest_.subspan(bytes.size());
    return bytes;
  }

  // True for an entry that says what the next one is called, as pax and GNU tar write it.
  bool take_long_name(char kind, std::span<const std::byte> bytes) {
    if (kind != 'x' && kind != 'L') return false;
    if (bytes.size() > kLongestName) fail("a name has over 4096 bytes");
    const std::string_view text = as_text(bytes);
    if (kind == 'x') {
      if (std::optional<std::string> path = path_in(text)) name_ = std::move(path);
    } else {
      name_ = text.substr(0, text.find('\0'));
    }
    return true;
  }

  Entry entry(std::string_view block, std::span<const std::byte> bytes) {
    const char kind = block[kKind];
    std::string name(text_at(block, kName));
    const std::string_view prefix = text_at(block, kPrefix);
    if (!prefix.empty() && text_at(block, {kMagic.at, 5}) == "ustar")
      name = std::string(prefix) + '/' + name;
    if (name_) name = *std::exchange(name_, std::nullopt);
    if (kind != '0' && kind != '\0' && kind != '5') {
      throw Error(ErrorCode::kUnsupported,
                  in_quotes(name) + ": is neither a file nor a folder in the archive");
    }
    return {std::move(name), bytes, kind == '5'};
  }

  std::span<const std::byte> rest_;
  std::optional<std::string> name_;  // of the next entry
};

}  // namespace

std::string header(std::string_view name, uint64_t size, bool is_folder) {
  const char kind = is_folder ? '5' : '0';
  if (is_plain(name)) return block_of(name, size, kind);
  const std::string record = pax_record(name);
  std::string text = block_of("pax", record.size(), 'x') + record;
  text.append(padding(record.size()).size(), '\0');
  return text + block_of("long", size, kind);
}

std::span<const std::byte> padding(uint64_t size) {
  return std::span(kZeros).first(static_cast<size_t>((kBlock - size % kBlock) % kBlock));
}

std::span<const std::byte> end() { return kZeros; }

std::vector<Entry> read(std::span<const std::byte> archive) { return Reader(archive).read(); }

}  // namespace wshare::tar
