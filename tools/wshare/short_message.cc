#include "short_message.h"

#include <algorithm>
#include <string_view>

#include "rows.h"
#include "util/text.h"

namespace wshare {
namespace {

constexpr size_t kColumns = 200;
constexpr std::string_view kFailed = "Non-zero status code returned while running ";
constexpr std::string_view kName = " node. Name:'", kStatus = "' Status Message: ";

// Where the signature ends that begins at `begin`: behind the closing parenthesis of its
// parameters, also of what follows it ("const", "[with T = float]"); npos: there is none.
size_t end_of_signature(std::string_view text, size_t begin) {
  size_t depth = 0;
  for (size_t at = text.find('(', begin); at < text.size(); ++at) {
    if (text[at] == '(') ++depth;
    if (text[at] == ')' && --depth == 0) {
      std::string_view rest = text.substr(++at);
      if (rest.starts_with(" const")) at += std::string_view(" const").size();
      if (text.substr(at).starts_with(" [with "))
        at = std::min(text.find(']', at) + 1, text.size());
      return at;
    }
  }
  return std::string_view::npos;
}

// Takes "/onnxruntime_src/.../pad.cc:123 Status onnxruntime::Pad(int) " out of `text`, which says
// where in ONNX Runtime, not where in the model.
bool drop_place(std::string& text) {
  for (const std::string_view extension : {".cc:", ".h:", ".cpp:", ".cu:"}) {
    const size_t found = text.find(extension);
    if (found == text.npos) continue;
    const size_t space = text.rfind(' ', found), colon = text.rfind(':', found);
    size_t begin = space == text.npos ? 0 : space + 1;
    if (colon != text.npos) begin = std::max(begin, colon + 1);
    const size_t line = text.find_first_not_of("0123456789", found + extension.size());
    if (line == text.npos || text[line] != ' ' || text[begin] != '/') continue;
    size_t end = end_of_signature(text, line);
    if (end == text.npos) continue;
    end = std::min(text.find_first_not_of(' ', end), text.size());
    text.replace(begin, end - begin, begin > 0 && text[begin - 1] != ' ' ? " " : "");
    return true;
  }
  return false;
}

}  // namespace

std::string short_message(const std::string& message) {
  std::string text = message;
  const size_t outermost = text.find(kFailed);
  if (outermost != text.npos) {
    const size_t innermost = text.rfind(kFailed) + kFailed.size();
    const size_t name = text.find(kName, innermost);
    const size_t status = name == text.npos ? text.npos : text.find(kStatus, name);
    if (status != text.npos) {
      const std::string kind = text.substr(innermost, name - innermost);
      const std::string node = text.substr(name + kName.size(), status - name - kName.size());
      text = text.substr(0, outermost) + kind + " node" +
             (node.empty() ? "" : " " + in_quotes(node)) + ": " +
             text.substr(status + kStatus.size());
    }
  }
  bool changed = text != message;
  while (drop_place(text)) changed = true;
  return fit(text, changed ? kColumns : 2 * kColumns);
}

}  // namespace wshare
