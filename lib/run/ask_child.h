#pragma once

#include <filesystem>
#include <functional>
#include <istream>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <ostream>
#include <string>

#include "run/job.h"

namespace wshare {

// How wshare has a job done by a process of its own, where memory is to be measured or what is
// tried may end the process: it starts itself with the hidden command `child`, writes one JSON
// object to its stdin, {"job": NAME, ...}, and reads one from its stdout, the answer or
// {"error": {code, message, hint}}. Lines on stderr that begin with kProgressMark say what is done
// next. Texts of any bytes come through: what is no UTF-8 is carried in another spelling.

inline constexpr char kChildCommand[] = "child";

// Who listens to a child.
struct ChildListener {
  TellFn progress;  // what it does next
  TellFn rest;      // all else that it wrote to stderr, once it has ended
};

// Runs `program` as a child that does `job`, and returns its answer.
//
// Throws the Error that the child gave as its answer; Error(kRuntime) if it cannot be started, is
// ended by a signal, or ends without an answer.
nlohmann::ordered_json ask_child(const std::filesystem::path& program,
                                 const nlohmann::ordered_json& job, const ChildListener& listener);

// What a child does, by RunJob's or another job's name.
using Jobs = std::map<std::string, std::function<nlohmann::ordered_json(
                                       const nlohmann::ordered_json& job, const TellFn& tell)>>;

// The child's side: reads a job from `in`, does it and writes the answer to `out`; progress goes to
// `err`.
void answer_job(const Jobs& jobs, std::istream& in, std::ostream& out, std::ostream& err);

}  // namespace wshare
