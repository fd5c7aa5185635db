# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
#
# `cmake --install`: libwanlite, its headers, the command line, and a package for
# find_package(wanlite). LibTorch and Abseil are not copied: the package finds the ones of the build.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/wanlite)
set(_rpath $ORIGIN $ORIGIN/../${CMAKE_INSTALL_LIBDIR} ${LibTorch_PREFIX}/lib
           ${LibTorch_PREFIX}/../nvidia/cu13/lib)

set_target_properties(wanlite wanlite_cli PROPERTIES INSTALL_RPATH "${_rpath}")
set_target_properties(wanlite_usage PROPERTIES EXPORT_NAME usage)
install(TARGETS wanlite wanlite_usage EXPORT wanliteTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS wanlite_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
# Opened at run time from beside libwanlite when asked for: nobody links them, so the package does not
# name them, and whoever builds the command line wants them too.
foreach(_module wanlite_cuda wanlite_ffmpeg wanlite_sentencepiece)
  if(TARGET ${_module})
    add_dependencies(wanlite_cli ${_module})
    set_target_properties(${_module} PROPERTIES INSTALL_RPATH "${_rpath}")
    install(TARGETS ${_module} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  endif()
endforeach()
install(DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/include/wanlite DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h")

install(EXPORT wanliteTargets NAMESPACE wanlite:: DESTINATION ${_package_dir})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/wanliteConfig.cmake.in
  ${CMAKE_BINARY_DIR}/wanliteConfig.cmake INSTALL_DESTINATION ${_package_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/wanliteConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_LIST_DIR}/FindLibTorch.cmake
              ${CMAKE_BINARY_DIR}/wanliteConfig.cmake
              ${CMAKE_BINARY_DIR}/wanliteConfigVersion.cmake
        DESTINATION ${_package_dir})
