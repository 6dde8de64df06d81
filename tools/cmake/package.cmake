# `cpack` (tools/package.sh calls it): a Debian package with the command, its manual pages and
# completions, and ONNX Runtime in a folder of wshare's own. The libraries and headers for building
# against wshare are left to `cmake --install`.

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME wshare)
set(CPACK_PACKAGE_VENDOR wshare)
set(WSHARE_MAINTAINER "The wshare developers <wshare@localhost>" CACHE STRING "Who answers for the Debian package")
set(CPACK_PACKAGE_CONTACT ${WSHARE_MAINTAINER})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Stores equal weights of many ONNX models once")
set(CPACK_PACKAGE_DESCRIPTION "Makes a bundle of many ONNX models that keeps each weight once, gives
the originals back byte for byte, and opens ONNX Runtime sessions over the
one copy. Also shows what models have in common, and how two differ.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL tool)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
if(OnnxRuntime_FOUND)
  cmake_path(GET OnnxRuntime_LIBRARY PARENT_PATH _ort_folder)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${_ort_folder})
endif()
# Opened at run time, by what looks for low rank; so shlibdeps does not see it.
set(CPACK_DEBIAN_PACKAGE_DEPENDS libopenblas0)
# Manual pages compressed, changelog, copyright.
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/debian_policy.cmake)
include(CPack)
