# THIRD_PARTY_NOTICES.txt: what others wrote of that which a binary of ours holds or brings along, and on what terms, as
# Debian's packages say it. ONNX Runtime, where it is brought along, has such a file of its own.

# Whose headers are compiled in, and whose libraries go into the wheel.
set(_notices_of libcli11-dev nlohmann-json3-dev libflatbuffers-dev libfmt-dev libxxhash-dev libzstd-dev libprotobuf-dev
  libonnx-dev libssl-dev)

set(_notices "What wshare ${PROJECT_VERSION} contains of others. In a Python wheel their libraries lie in wshare.libs.\n")
foreach(_package IN LISTS _notices_of)
  set(_copyright /usr/share/doc/${_package}/copyright)
  if(NOT EXISTS ${_copyright})
    message(STATUS "THIRD_PARTY_NOTICES.txt: nothing is known of ${_package} here")
    continue()
  endif()
  file(READ ${_copyright} _text)
  execute_process(COMMAND dpkg-query -W -f "\${Version}" ${_package} OUTPUT_VARIABLE _version ERROR_QUIET)
  string(APPEND _notices "\n==== ${_package} ${_version}\n\n${_text}")
endforeach()
set(THIRD_PARTY_NOTICES ${PROJECT_BINARY_DIR}/THIRD_PARTY_NOTICES.txt)
file(WRITE ${THIRD_PARTY_NOTICES} "${_notices}")
