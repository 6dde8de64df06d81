#pragma once

#include <string>

#include "wshare/error.h"

namespace wshare::test {

// The code of the Error that `call` throws, 0 if it throws none.
template <typename Call>
int code_of(const Call& call, std::string* message = nullptr, std::string* hint = nullptr) {
  try {
    call();
  } catch (const Error& error) {
    if (message != nullptr) *message = error.what();
    if (hint != nullptr) *hint = error.hint();
    return static_cast<int>(error.code());
  }
  return 0;
}

// The message of the Error that `call` throws, or "no Error".
template <typename Call>
std::string message_of(const Call& call) {
  std::string message = "no Error";
  code_of(call, &message);
  return message;
}

}  // namespace wshare::test
