# Finds ONNX Runtime and makes the imported target `onnxruntime::onnxruntime`.
#
#   list(APPEND CMAKE_MODULE_PATH <folder of this file>)
#   find_package(OnnxRuntime [VERSION])
#
# Looked for, in this order:
#   1. -DONNXRUNTIME_ROOT=DIR            an unpacked release, an install prefix, a folder with include/ and lib/.
#                                        If given, nothing else is tried, and a DIR that does not work is an error.
#   2. find_package(onnxruntime CONFIG)  what is installed, CMAKE_PREFIX_PATH, onnxruntime_DIR
#   3. <repository>/.deps/onnxruntime-*  what tools/setup.sh fetched (the newest)
#      <prefix>/lib/wshare/onnxruntime   the same, where an installed wshare brought it along
#
# Sets OnnxRuntime_FOUND, OnnxRuntime_VERSION (1.N, where N is ORT_API_VERSION of the header),
# OnnxRuntime_INCLUDE_DIR and OnnxRuntime_LIBRARY. The sources write #include <onnxruntime_cxx_api.h>.

set(ONNXRUNTIME_ROOT "" CACHE PATH "Folder of your own ONNX Runtime (include/ and lib/); empty: search")

# Where a prefix may keep the headers and the library.
set(_ort_include_suffixes include include/onnxruntime include/onnxruntime/core/session)
set(_ort_library_suffixes lib lib64 "lib/${CMAKE_LIBRARY_ARCHITECTURE}")
set(_ort_origin "")
set(_ort_problem "")

# Sets `include` and `library` in the caller's scope from a prefix; empty where not there.
function(_ort_look_in prefix include library)
  find_path(_ort_path onnxruntime_cxx_api.h
    PATHS "${prefix}" PATH_SUFFIXES ${_ort_include_suffixes} NO_DEFAULT_PATH NO_CACHE)
  find_library(_ort_file NAMES onnxruntime libonnxruntime.so.1
    PATHS "${prefix}" PATH_SUFFIXES ${_ort_library_suffixes} NO_DEFAULT_PATH NO_CACHE)
  set(${include} "" PARENT_SCOPE)
  set(${library} "" PARENT_SCOPE)
  if(_ort_path)
    get_filename_component(_ort_path "${_ort_path}" ABSOLUTE) # without the slash that find_path leaves
    set(${include} "${_ort_path}" PARENT_SCOPE)
  endif()
  if(_ort_file)
    set(${library} "${_ort_file}" PARENT_SCOPE)
  endif()
endfunction()

# Sets `version` in the caller's scope to 1.N, read from the C header in `include`.
function(_ort_read_version include version)
  file(STRINGS "${include}/onnxruntime_c_api.h" line REGEX "^#define ORT_API_VERSION +[0-9]+")
  string(REGEX MATCH "[0-9]+$" number "${line}")
  set(${version} "1.${number}" PARENT_SCOPE)
endfunction()

set(OnnxRuntime_INCLUDE_DIR "")
set(OnnxRuntime_LIBRARY "")
set(OnnxRuntime_VERSION "")

if(TARGET onnxruntime::onnxruntime)
  set(_ort_origin "target of the enclosing project")
elseif(ONNXRUNTIME_ROOT)
  get_filename_component(_ort_prefix "${ONNXRUNTIME_ROOT}" ABSOLUTE BASE_DIR "${CMAKE_BINARY_DIR}")
  _ort_look_in("${_ort_prefix}" OnnxRuntime_INCLUDE_DIR OnnxRuntime_LIBRARY)
  set(_ort_origin "ONNXRUNTIME_ROOT")
  if(NOT OnnxRuntime_INCLUDE_DIR)
    list(JOIN _ort_include_suffixes ", " _ort_places)
    message(FATAL_ERROR "ONNXRUNTIME_ROOT=${ONNXRUNTIME_ROOT}: no onnxruntime_cxx_api.h in it, "
                        "looked in: ${_ort_places}")
  endif()
  if(NOT OnnxRuntime_LIBRARY)
    list(JOIN _ort_library_suffixes ", " _ort_places)
    message(FATAL_ERROR "ONNXRUNTIME_ROOT=${ONNXRUNTIME_ROOT}: no libonnxruntime.so or libonnxruntime.so.1 "
                        "in it, looked in: ${_ort_places}")
  endif()
else()
  find_package(onnxruntime CONFIG QUIET)
  if(TARGET onnxruntime::onnxruntime)
    set(_ort_origin "${onnxruntime_DIR}")
  else()
    file(GLOB _ort_fetched LIST_DIRECTORIES true "${CMAKE_CURRENT_LIST_DIR}/../../.deps/onnxruntime-*")
    list(SORT _ort_fetched COMPARE NATURAL ORDER DESCENDING)
    list(APPEND _ort_fetched "${CMAKE_CURRENT_LIST_DIR}/../../wshare/onnxruntime")
    foreach(_ort_prefix IN LISTS _ort_fetched)
      get_filename_component(_ort_prefix "${_ort_prefix}" ABSOLUTE)
      _ort_look_in("${_ort_prefix}" OnnxRuntime_INCLUDE_DIR OnnxRuntime_LIBRARY)
      if(OnnxRuntime_INCLUDE_DIR AND OnnxRuntime_LIBRARY)
        set(_ort_origin "fetched by tools/setup.sh")
        break()
      endif()
    endforeach()
  endif()
endif()

# A package's own target: find out where its header is. Microsoft's release archives name
# include/onnxruntime in their CMake files but have the headers in include/, so look one folder up too.
if(TARGET onnxruntime::onnxruntime)
  get_target_property(_ort_dirs onnxruntime::onnxruntime INTERFACE_INCLUDE_DIRECTORIES)
  foreach(_ort_dir IN LISTS _ort_dirs)
    foreach(_ort_try IN ITEMS "${_ort_dir}" "${_ort_dir}/core/session" "${_ort_dir}/onnxruntime"
                              "${_ort_dir}/onnxruntime/core/session" "${_ort_dir}/..")
      get_filename_component(_ort_try "${_ort_try}" ABSOLUTE) # a/.. does not exist where a does not
      if(NOT OnnxRuntime_INCLUDE_DIR AND EXISTS "${_ort_try}/onnxruntime_cxx_api.h")
        set(OnnxRuntime_INCLUDE_DIR "${_ort_try}")
      endif()
    endforeach()
  endforeach()
  if(OnnxRuntime_INCLUDE_DIR)
    set(OnnxRuntime_LIBRARY onnxruntime::onnxruntime)
    get_target_property(_ort_imported onnxruntime::onnxruntime IMPORTED)
    if(_ort_imported)
      set_target_properties(onnxruntime::onnxruntime PROPERTIES
        INTERFACE_INCLUDE_DIRECTORIES "${OnnxRuntime_INCLUDE_DIR}")
    endif()
  else()
    set(_ort_problem "${_ort_origin}: its target has no onnxruntime_cxx_api.h in ${_ort_dirs}")
  endif()
endif()

if(OnnxRuntime_INCLUDE_DIR)
  _ort_read_version("${OnnxRuntime_INCLUDE_DIR}" OnnxRuntime_VERSION)
endif()

if(OnnxRuntime_INCLUDE_DIR AND OnnxRuntime_LIBRARY AND NOT TARGET onnxruntime::onnxruntime)
  add_library(onnxruntime::onnxruntime SHARED IMPORTED GLOBAL)
  set_target_properties(onnxruntime::onnxruntime PROPERTIES
    IMPORTED_LOCATION "${OnnxRuntime_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${OnnxRuntime_INCLUDE_DIR}")
endif()

# A library of another CPU, or one without the C API, is found here and not in the middle of the build.
if(OnnxRuntime_INCLUDE_DIR AND OnnxRuntime_LIBRARY AND NOT OnnxRuntime_LINKS STREQUAL OnnxRuntime_LIBRARY)
  set(_ort_source "${CMAKE_BINARY_DIR}/CMakeFiles/onnxruntime_links.cc")
  file(WRITE "${_ort_source}"
    "#include <onnxruntime_c_api.h>\nint main() { return OrtGetApiBase() == nullptr; }\n")
  try_compile(_ort_links "${CMAKE_BINARY_DIR}/CMakeFiles/onnxruntime_links" SOURCES "${_ort_source}"
    LINK_LIBRARIES onnxruntime::onnxruntime OUTPUT_VARIABLE _ort_output
    CXX_STANDARD 17 CXX_STANDARD_REQUIRED ON) # its header has noexcept in types, and clang 14 is for C++14
  if(_ort_links)
    set(OnnxRuntime_LINKS "${OnnxRuntime_LIBRARY}" CACHE INTERNAL "ONNX Runtime library that was seen to link")
  else()
    unset(_ort_links CACHE)
    if(ONNXRUNTIME_ROOT)
      message(FATAL_ERROR "ONNXRUNTIME_ROOT=${ONNXRUNTIME_ROOT}: a program with it does not link:\n${_ort_output}")
    endif()
    set(_ort_problem "${_ort_origin}: a program with it does not link:\n${_ort_output}")
    set(OnnxRuntime_LIBRARY "")
  endif()
  unset(_ort_links CACHE)
endif()

include(FindPackageHandleStandardArgs)
if(NOT _ort_problem)
  set(_ort_problem "run tools/setup.sh, or give your own with -DONNXRUNTIME_ROOT=DIR")
endif()
string(REPLACE ";" "," _ort_problem "${_ort_problem}") # the call below would split the text there
find_package_handle_standard_args(OnnxRuntime
  REQUIRED_VARS OnnxRuntime_INCLUDE_DIR OnnxRuntime_LIBRARY
  VERSION_VAR OnnxRuntime_VERSION
  REASON_FAILURE_MESSAGE "${_ort_problem}")
