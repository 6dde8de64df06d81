#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace wshare {

inline constexpr int kDeepestJson = 64;

// The keys of one object, in order.
class JsonKeys {
 public:
  // Adds `key`, if it is not there yet: else returns false. One that is `decoded` is copied, and
  // then points to the copy.
  bool add(std::string_view& key, bool decoded);
  bool contains(std::string_view key) const;

 private:
  std::array<std::string_view, 16> first_;
  size_t count_ = 0;                   // in first_
  std::set<std::string_view> others_;  // where there are more
  std::deque<std::string> decoded_;
};

// Reads one JSON value from the first byte to the last, in one pass; what reads all JSON that comes
// from elsewhere.
//
//   JsonReader json(text);
//   json.object({"name"}, [&](std::string_view key) {
//     if (key == "name") name = json.text();
//     if (key == "sizes") json.list([&] { sizes.push_back(json.number()); });
//   });
//   json.finish();
//
// Strict: RFC 8259 to the letter, UTF-8 as Unicode defines it, a key once in an object, numbers as
// what they are, at most kDeepestJson levels. Time is linear in the text (n log n in the keys of
// one object), memory is that of the keys of the objects that are open.
//
// All members throw Error(kInvalid) if the text holds something else; the message has the key, or
// where in the text it stands, never the value.
class JsonReader {
 public:
  // `text` must outlive the reader.
  explicit JsonReader(std::string_view text) : text_(text) {}

  // Calls member(key) for each member. A member that reads nothing skips the value. All `required`
  // keys must be there.
  template <typename Member>
  void object(std::initializer_list<std::string_view> required, const Member& member) {
    JsonKeys keys;
    open('{', "is no object");
    const std::string_view outer = key_;
    for (bool first = true; next_key(keys, first); first = false) {
      const std::string_view key = key_;
      peek();
      const size_t before = at_;
      member(key);
      if (at_ == before) skip();
    }
    key_ = outer;
    check_required(keys, required);
  }

  // Calls item() for each item; it must read it.
  template <typename Item>
  void list(const Item& item) {
    open('[', "is no list");
    for (bool first = true; has_next(']', first); first = false) item();
  }

  // Returns a text, valid until the next call.
  std::string_view text();
  // Returns a number that is written without sign, fraction and exponent.
  uint64_t number(uint64_t largest = INT64_MAX);
  double real();
  bool flag();
  // Reads null, if that comes next.
  bool take_null();
  // Returns the first byte of what comes next, '\0' at the end: one of {["-0123456789tfn.
  char peek();
  void skip();

  // Skips a list, or an object, and returns its text, of which only quotes and brackets are looked
  // at; another reader reads it.
  std::string_view raw_list();
  std::string_view raw_object();

  // Returns the value of the first member of the object that comes next, without reading more of
  // it: nothing if that is not a text called `key`.
  std::optional<std::string_view> first_text(std::string_view key);

  // Throws if anything but white space follows.
  void finish();

 private:
  [[noreturn]] void fail_syntax() const;
  [[noreturn]] void fail(const std::string& what) const;
  void open(char bracket, const char* otherwise);
  bool has_next(char bracket, bool first);
  bool next_key(JsonKeys& keys, bool first);  // leaves it in key_
  void check_required(const JsonKeys& keys, std::initializer_list<std::string_view> required) const;
  void word(std::string_view expected);
  std::string_view raw();
  std::string_view number_token(bool& whole);
  void skip_character();
  void decode_escape();
  uint32_t code_unit();

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
  std::string_view key_;  // the last one read
  std::string decoded_;   // of the last text with escapes
};

}  // namespace wshare
