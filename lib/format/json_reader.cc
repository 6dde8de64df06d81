#include "format/json_reader.h"

#include <algorithm>
#include <charconv>

#include "format/raw_json.h"
#include "util/text.h"
#include "util/utf8.h"
#include "wshare/error.h"

namespace wshare {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

bool JsonKeys::add(std::string_view& key, bool decoded) {
  if (contains(key)) return false;
  if (decoded) key = decoded_.emplace_back(key);
  if (count_ < first_.size()) {
    first_[count_++] = key;
  } else {
    others_.insert(key);
  }
  return true;
}

bool JsonKeys::contains(std::string_view key) const {
  const auto end = first_.begin() + count_;
  return std::find(first_.begin(), end, key) != end || others_.contains(key);
}

void JsonReader::fail_syntax() const {
  throw Error(ErrorCode::kInvalid, "is no JSON: wrong at byte " + std::to_string(at_));
}

void JsonReader::fail(const std::string& what) const {
  throw Error(ErrorCode::kInvalid, key_.empty()
                                       ? "the JSON at byte " + std::to_string(at_) + " " + what
                                       : in_quotes(key_) + ": " + what);
}

char JsonReader::peek() {
  while (at_ < text_.size() &&
         (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r')) {
    ++at_;
  }
  return at_ < text_.size() ? text_[at_] : '\0';
}

void JsonReader::finish() {
  if (peek() != '\0' || at_ < text_.size()) fail_syntax();
}

void JsonReader::open(char bracket, const char* otherwise) {
  if (peek() != bracket) fail(otherwise);
  if (++depth_ > kDeepestJson)
    fail("is nested deeper than " + std::to_string(kDeepestJson) + " levels");
  ++at_;
}

bool JsonReader::has_next(char bracket, bool first) {
  if (peek() == bracket) {
    ++at_;
    --depth_;
    return false;
  }
  if (first) return true;
  if (peek() != ',') fail_syntax();
  ++at_;
  if (peek() == bracket) fail_syntax();
  return true;
}

bool JsonReader::next_key(JsonKeys& keys, bool first) {
  if (!has_next('}', first)) return false;
  if (peek() != '"') fail_syntax();
  key_ = text();
  if (!keys.add(key_, key_.data() == decoded_.data())) fail("stands twice in one object");
  if (peek() != ':') fail_syntax();
  ++at_;
  return true;
}

void JsonReader::check_required(const JsonKeys& keys,
                                std::initializer_list<std::string_view> required) const {
  for (const std::string_view key : required) {
    if (!keys.contains(key)) throw Error(ErrorCode::kInvalid, in_quotes(key) + ": is missing");
  }
}

std::string_view JsonReader::text() {
  if (peek() != '"') fail("is no text");
  const size_t begin = ++at_;
  while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\\') skip_character();
  if (at_ == text_.size()) fail_syntax();
  if (text_[at_] == '"') return text_.substr(begin, at_++ - begin);
  decoded_.assign(text_, begin, at_ - begin);
  while (at_ < text_.size() && text_[at_] != '"') {
    const size_t from = at_;
    if (text_[at_] == '\\') {
      ++at_;
      decode_escape();
    } else {
      skip_character();
      decoded_.append(text_, from, at_ - from);
    }
  }
  if (at_ == text_.size()) fail_syntax();
  ++at_;
  return decoded_;
}

void JsonReader::skip_character() {
  const auto byte = static_cast<unsigned char>(text_[at_]);
  if (byte < 0x20) fail_syntax();
  const Utf8Step step = byte < 0x80 ? Utf8Step{1, true} : utf8_step(text_.substr(at_));
  if (!step.valid) fail_syntax();
  at_ += step.size;
}

void JsonReader::decode_escape() {
  constexpr std::string_view kLetters = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
  const char letter = at_ < text_.size() ? text_[at_] : '\0';
  if (letter != 'u') {
    const size_t known = letter == '\0' ? std::string_view::npos : kLetters.find(letter);
    if (known == std::string_view::npos) fail_syntax();
    decoded_ += kMeanings[known];
    ++at_;
    return;
  }
  uint32_t code = code_unit();
  if (code >= 0xDC00 && code < 0xE000) fail_syntax();
  if (code >= 0xD800 && code < 0xDC00) {
    if (text_.substr(at_, 2) != "\\u") fail_syntax();
    ++at_;
    const uint32_t low = code_unit();
    if (low < 0xDC00 || low >= 0xE000) fail_syntax();
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  }
  append_utf8(decoded_, code);
}

// at_ is at the u.
uint32_t JsonReader::code_unit() {
  const std::string_view hex = text_.substr(at_, 5).substr(1);
  uint32_t value = 0;
  const auto [stop, error] = std::from_chars(hex.data(), hex.data() + hex.size(), value, 16);
  if (hex.size() != 4 || error != std::errc() || stop != hex.data() + 4) fail_syntax();
  at_ += 5;
  return value;
}

// A number as RFC 8259 writes it; whole: without sign, fraction and exponent.
std::string_view JsonReader::number_token(bool& whole) {
  const size_t begin = at_;
  const auto take = [&](std::string_view any) {
    const bool is = at_ < text_.size() && any.find(text_[at_]) != std::string_view::npos;
    at_ += is ? 1 : 0;
    return is;
  };
  const auto digits = [&] {
    const size_t from = at_;
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
    if (at_ == from) fail_syntax();
  };
  whole = !take("-");
  if (!take("0")) digits();
  if (take(".")) {
    whole = false;
    digits();
  }
  if (take("eE")) {
    whole = false;
    take("+-");
    digits();
  }
  return text_.substr(begin, at_ - begin);
}

uint64_t JsonReader::number(uint64_t largest) {
  const char first = peek();
  bool whole = false;
  uint64_t value = 0;
  if (is_digit(first) || first == '-') {
    const std::string_view token = number_token(whole);
    if (std::from_chars(token.data(), token.data() + token.size(), value).ec != std::errc())
      whole = false;
  }
  if (!whole || value > largest) fail("is no number of 0 to " + std::to_string(largest));
  return value;
}

double JsonReader::real() {
  const char first = peek();
  if (!is_digit(first) && first != '-') fail("is no number");
  bool whole = false;
  const std::string_view token = number_token(whole);
  double value = 0;
  if (std::from_chars(token.data(), token.data() + token.size(), value).ec != std::errc())
    fail("is a number that a double cannot hold");
  return value;
}

void JsonReader::word(std::string_view expected) {
  if (text_.substr(at_, expected.size()) != expected) fail_syntax();
  at_ += expected.size();
}

bool JsonReader::flag() {
  const char first = peek();
  if (first != 't' && first != 'f') fail("is neither true nor false");
  word(first == 't' ? "true" : "false");
  return first == 't';
}

bool JsonReader::take_null() {
  if (peek() != 'n') return false;
  word("null");
  return true;
}

void JsonReader::skip() {
  switch (peek()) {
    case '{':
      return object({}, [](std::string_view) {});
    case '[':
      return list([this] { skip(); });
    case '"':
      text();
      return;
    case 't':
    case 'f':
      flag();
      return;
    case 'n':
      take_null();
      return;
    default:
      bool whole = false;
      number_token(whole);
  }
}

std::string_view JsonReader::raw_list() {
  if (peek() != '[') fail("is no list");
  return raw();
}

std::string_view JsonReader::raw_object() {
  if (peek() != '{') fail("is no object");
  return raw();
}

std::string_view JsonReader::raw() {
  const size_t begin = at_, end = end_of_raw_json(text_, begin);
  at_ = std::min(end, text_.size());
  if (end == std::string_view::npos) fail_syntax();
  return text_.substr(begin, end - begin);
}

std::optional<std::string_view> JsonReader::first_text(std::string_view key) {
  open('{', "is no object");
  if (peek() != '"' || text() != key) return std::nullopt;
  if (peek() != ':') fail_syntax();
  ++at_;
  if (peek() != '"') return std::nullopt;
  return text();
}

}  // namespace wshare
