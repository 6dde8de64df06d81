# Writes OUTPUT, a C++ header with the bytes of INPUT as the constant NAME:
#   cmake -DINPUT=page.html -DOUTPUT=page.h -DNAME=kPage -P embed.cmake
file(READ ${INPUT} hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR size "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${hex}")
string(REGEX REPLACE "(......,......,......,......,......,......,......,......,......,......,......,......,)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUTPUT} "#pragma once

#include <string_view>

namespace wshare {
inline constexpr char ${NAME}Bytes[${size}] = {
${bytes}};
inline constexpr std::string_view ${NAME}{${NAME}Bytes, ${size}};
}  // namespace wshare
")
