# Run by CPack on the files of the Debian package: what Debian's policy asks of them beyond their
# places. Compressed without name and time, so that the same files give the same package.

set(_share "${CPACK_TEMPORARY_DIRECTORY}/*${CPACK_PACKAGING_INSTALL_PREFIX}/share")
file(GLOB _pages "${_share}/man/man1/*.1")
file(GLOB _licenses "${_share}/doc/wshare/LICENSE")
if(NOT _pages OR NOT _licenses)
  message(FATAL_ERROR "no manual pages or no license below ${CPACK_TEMPORARY_DIRECTORY}")
endif()
foreach(_license ${_licenses})
  cmake_path(GET _license PARENT_PATH _doc)
  file(REMOVE "${_license}") # its text is in /usr/share/common-licenses
  file(COPY "${CMAKE_CURRENT_LIST_DIR}/../debian/copyright" "${CMAKE_CURRENT_LIST_DIR}/../debian/changelog"
    DESTINATION "${_doc}")
  list(APPEND _pages "${_doc}/changelog")
  file(MAKE_DIRECTORY "${_doc}/../../lintian/overrides")
  file(COPY_FILE "${CMAKE_CURRENT_LIST_DIR}/../debian/lintian-overrides"
    "${_doc}/../../lintian/overrides/wshare")
endforeach()
execute_process(COMMAND gzip -9nf ${_pages} COMMAND_ERROR_IS_FATAL ANY)
