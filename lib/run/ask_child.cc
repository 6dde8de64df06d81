#include "run/ask_child.h"

#include <iterator>
#include <new>
#include <nlohmann/json.hpp>

#include "run/child.h"
#include "runtime/ort_errors.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using Json = nlohmann::ordered_json;

// Paths and names may be any bytes, texts in JSON are UTF-8: each byte travels as the character of
// its number.
std::string spell(const std::string& bytes) {
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80) text += static_cast<char>(0xC0 | byte >> 6);
    text += static_cast<char>(byte < 0x80 ? byte : 0x80 | (byte & 0x3F));
  }
  return text;
}

std::string unspell(const std::string& text) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    auto byte = static_cast<unsigned char>(text[i]);
    if (byte >= 0x80 && i + 1 < text.size())
      byte = static_cast<unsigned char>(byte << 6 | (text[++i] & 0x3F));
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

// Returns `json` with all texts and keys as `change` makes them.
Json with_texts(const Json& json, std::string (*change)(const std::string&)) {
  if (json.is_string()) return change(json.get_ref<const std::string&>());
  if (!json.is_structured()) return json;
  Json result = json.is_array() ? Json::array() : Json::object();
  if (json.is_array()) {
    for (const Json& each : json) result.push_back(with_texts(each, change));
  } else {
    for (const auto& [key, each] : json.items()) result[change(key)] = with_texts(each, change);
  }
  return result;
}

std::string write_line(const Json& json) { return with_texts(json, spell).dump() + '\n'; }
Json read_line(const std::string& text) { return with_texts(Json::parse(text), unspell); }

// The last line: libraries that the child has loaded may have written to its stdout, too.
std::string last_line(const std::string& text) {
  const size_t end = text.find_last_not_of('\n');
  if (end == text.npos) return {};
  const size_t before = text.rfind('\n', end);
  return text.substr(before == text.npos ? 0 : before + 1);
}

constexpr int kBug = 70;  // the only code that is none of ErrorCode

Json error_json(int code, const std::string& message, const std::string& hint = {}) {
  return {{"error", {{"code", code}, {"message", message}, {"hint", hint}}}};
}

[[noreturn]] void throw_error(const Json& error) {
  const int code = error.at("code");
  const std::string message = error.at("message");
  if (code == kBug) throw std::logic_error(message);
  throw Error(ErrorCode{code}, message, error.at("hint"));
}

[[noreturn]] void fail(const std::filesystem::path& program, const std::string& what) {
  throw Error(ErrorCode::kRuntime, "the child process " + in_quotes(program.string()) + " " + what);
}

Json do_one(const Jobs& jobs, const Json& job, const TellFn& tell) {
  try {
    return jobs.at(job.at("job").get<std::string>())(job, tell);
  } catch (const Error& error) {
    return error_json(static_cast<int>(error.code()), error.what(), error.hint());
  } catch (const std::filesystem::filesystem_error& error) {
    return error_json(static_cast<int>(ErrorCode::kIo), error.what());
  } catch (const std::bad_alloc&) {
    return error_json(static_cast<int>(ErrorCode::kIo), "not enough memory");
  } catch (const Ort::Exception& error) {  // where it was asked for nothing that has a name
    return error_json(static_cast<int>(ErrorCode::kRuntime),
                      "ONNX Runtime: " + one_line(error.what()));
  } catch (const std::exception& error) {
    return error_json(kBug, error.what());
  }
}

}  // namespace

Json ask_child(const std::filesystem::path& program, const Json& job,
               const ChildListener& listener) {
  const ChildResult child = run_child(program, {kChildCommand}, write_line(job), listener.progress);
  if (listener.rest && !child.err.empty()) listener.rest(child.err);
  if (child.exit_code != 0) {
    fail(program, "ended with exit code " + std::to_string(child.exit_code) + " and no answer");
  }
  Json answer;
  try {
    answer = read_line(last_line(child.out));
    if (answer.contains("error")) throw_error(answer.at("error"));
    return answer;
  } catch (const Json::exception& error) {
    fail(program, std::string("gave an answer that cannot be read: ") + error.what());
  }
}

void answer_job(const Jobs& jobs, std::istream& in, std::ostream& out, std::ostream& err) {
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const TellFn tell = [&](const std::string& what) { err << kProgressMark << what << std::endl; };
  out << write_line(do_one(jobs, read_line(text), tell)) << std::flush;
}

}  // namespace wshare
