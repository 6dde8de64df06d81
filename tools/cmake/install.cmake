# `cmake --install`: the command, the libraries and headers, find_package(wshare), the docs.
#
# Nothing installed holds a path of this machine, with one exception that the user asked for: an
# ONNX Runtime of one's own stays where it is, and bin/wshare finds it there. One inside the source
# tree (what tools/setup.sh fetched) may be deleted with it, so it is copied to
# lib/wshare/onnxruntime, out of the way of any other ONNX Runtime in the prefix, and bin/wshare
# looks for it relative to itself.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
include(${CMAKE_CURRENT_LIST_DIR}/notices.cmake)

# The wheel (tools/wheel.sh): beside the Python files, and nothing else.
if(SKBUILD)
  install(TARGETS wshare RUNTIME DESTINATION . COMPONENT python)
  install(TARGETS wshare_runtime_c LIBRARY DESTINATION . COMPONENT python NAMELINK_SKIP)
  install(FILES LICENSE ${THIRD_PARTY_NOTICES} DESTINATION . COMPONENT python)
endif()

set(_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/wshare)

# wshare_run only measures for `wshare run` and has no public header, so it stays out.
set(_libraries wshare_util wshare_format wshare_model wshare_bundle wshare_compare wshare_append wshare_dedupe
  wshare_archive wshare_diff wshare_digest wshare_doctor wshare_oci wshare_export wshare_import wshare_extract_lora wshare_import_adapter wshare_inspect wshare_lora wshare_remove wshare_restore wshare_thaw wshare_verify wshare_commands)
set(_headers_left_out PATTERN runtime.h EXCLUDE PATTERN runtime_c.h EXCLUDE PATTERN device.h EXCLUDE
  PATTERN environment.h EXCLUDE)
if(OnnxRuntime_FOUND)
  list(APPEND _libraries wshare_runtime wshare_runtime_c)
  set(_headers_left_out "")
endif()
install(TARGETS ${_libraries} EXPORT wshareTargets)
install(EXPORT wshareTargets NAMESPACE wshare:: DESTINATION ${_package_dir})
install(DIRECTORY lib/include/wshare DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} ${_headers_left_out})

install(TARGETS wshare COMPONENT tool)
# Triton's Python-based backend, as the server looks for it: --backend-directory .../wshare/triton
install(FILES tools/python/wshare/triton/model.py DESTINATION ${CMAKE_INSTALL_DATADIR}/wshare/triton/wshare COMPONENT tool)
# Manual pages and completions.
install(DIRECTORY ${PROJECT_BINARY_DIR}/tools/share/ DESTINATION ${CMAKE_INSTALL_DATADIR} COMPONENT tool)
set_target_properties(wshare PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
if(OnnxRuntime_FOUND)
  install(FILES tools/cmake/FindOnnxRuntime.cmake DESTINATION ${_package_dir})
  cmake_path(IS_PREFIX PROJECT_SOURCE_DIR "${OnnxRuntime_LIBRARY}" _ort_is_ours)
  if(_ort_is_ours)
    set(_ort_dir ${CMAKE_INSTALL_LIBDIR}/wshare/onnxruntime)
    cmake_path(GET OnnxRuntime_LIBRARY PARENT_PATH _ort_libraries)
    install(DIRECTORY ${_ort_libraries}/ DESTINATION ${_ort_dir}/lib
      COMPONENT tool FILES_MATCHING PATTERN "libonnxruntime*.so*")
    install(DIRECTORY ${OnnxRuntime_INCLUDE_DIR}/ DESTINATION ${_ort_dir}/include)
    install(FILES ${_ort_libraries}/../LICENSE ${_ort_libraries}/../ThirdPartyNotices.txt
      DESTINATION ${_ort_dir} COMPONENT tool OPTIONAL)
    file(RELATIVE_PATH _lib_from_bin ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
    set_target_properties(wshare PROPERTIES
      INSTALL_RPATH $ORIGIN/${_lib_from_bin}/wshare/onnxruntime/lib)
    # Where the process has none, libwshare_runtime.so finds it there.
    set_target_properties(wshare_runtime_c PROPERTIES INSTALL_RPATH $ORIGIN/wshare/onnxruntime/lib)
  endif()
endif()

configure_package_config_file(tools/cmake/wshareConfig.cmake.in
  ${PROJECT_BINARY_DIR}/wshareConfig.cmake
  INSTALL_DESTINATION ${_package_dir} NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may change the API.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/wshareConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/wshareConfig.cmake
  ${PROJECT_BINARY_DIR}/wshareConfigVersion.cmake DESTINATION ${_package_dir})

# README.md refers to docs/, so both keep their places.
install(FILES LICENSE README.md ${THIRD_PARTY_NOTICES} DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT tool)
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT tool)
