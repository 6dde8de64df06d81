# `cpack` (tools/package.sh calls it): a Debian package with the command, its manual pages and
# completions, and ONNX Runtime in a folder of wshare's own. The libraries and headers for building
# against wshare are left to `cmake --install`.

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME wshare)
set(CPACK_PACKAGE_VENDOR wshare)
set(CPACK_PACKAGE_CONTACT "The wshare developers <wshare@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Stores equal weights of many ONNX models once")
set(CPACK_PACKAGE_DESCRIPTION "Makes a bundle of many ONNX models that keeps each weight once, gives the originals back,
and opens ONNX Runtime sessions over the one copy.")
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
include(CPack)
