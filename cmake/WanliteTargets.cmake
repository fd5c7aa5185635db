# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
#
# wanlite_area(NAME SOURCES … DEPENDS …)   one folder of src/ as an OBJECT library; DEPENDS names the
#                                          areas whose headers it may include, and is how the
#                                          direction of includes is kept. APART: a static library
#                                          beside libwanlite, for what its users should not carry
# wanlite_protos(OUT NAME…)                the generated sources of this folder's .proto files
# wanlite_test(NAME SOURCES … LABELS …)    one Catch2 program registered with CTest

# What users of libwanlite are compiled with, in this build and in an installed package.
add_library(wanlite_usage INTERFACE)
target_include_directories(wanlite_usage INTERFACE
  $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
target_compile_features(wanlite_usage INTERFACE cxx_std_20)
target_link_libraries(wanlite_usage INTERFACE
  LibTorch::cpu absl::status absl::statusor absl::strings absl::span)

# What every file of the library is compiled with.
add_library(wanlite_base INTERFACE)
target_include_directories(wanlite_base BEFORE INTERFACE
  ${WANLITE_FIRST_INCLUDE} ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
target_link_libraries(wanlite_base INTERFACE
  LibTorch::cpu absl::status absl::statusor absl::strings absl::span absl::flat_hash_map
  nlohmann_json::nlohmann_json OpenSSL::Crypto ZLIB::ZLIB Threads::Threads
  ${WANLITE_PROTOBUF_LIBRARY} ${CMAKE_DL_LIBS})
target_compile_options(wanlite_base INTERFACE -Wall -Wextra -Wno-unused-parameter -fpch-preprocess)

# One precompiled header for the library and its programs, one without optimisation for tests and examples,
# which spend their time in the library and compile in half the time so.
set(WANLITE_PCH_HEADERS ${CMAKE_SOURCE_DIR}/src/core/libtorch.h <absl/status/statusor.h> <absl/strings/str_cat.h>
    <algorithm> <map> <memory> <optional> <string> <vector>)
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/pch/empty.cc CONTENT "// precompiled header only\n")
add_library(wanlite_pch OBJECT ${CMAKE_BINARY_DIR}/pch/empty.cc)
target_link_libraries(wanlite_pch PRIVATE wanlite_base)
target_precompile_headers(wanlite_pch PRIVATE ${WANLITE_PCH_HEADERS})
add_library(wanlite_pch_quick OBJECT EXCLUDE_FROM_ALL ${CMAKE_BINARY_DIR}/pch/empty.cc)
target_link_libraries(wanlite_pch_quick PRIVATE wanlite_base)
target_compile_options(wanlite_pch_quick PRIVATE -O0)
target_precompile_headers(wanlite_pch_quick PRIVATE ${WANLITE_PCH_HEADERS})

# The files of a target are compiled a few at a time as one: with LibTorch's headers a file costs ten
# seconds before its own first line. So names in anonymous namespaces differ within an area.
set(WANLITE_UNITY_BATCH 8)
function(wanlite_unity NAME PCH)
  target_precompile_headers(${NAME} REUSE_FROM ${PCH})
  set_target_properties(${NAME} PROPERTIES
    UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE ${WANLITE_UNITY_BATCH})
endfunction()

function(wanlite_protos OUT)
  file(RELATIVE_PATH _folder ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  set(_generated)
  foreach(_name IN LISTS ARGN)
    set(_stem ${CMAKE_BINARY_DIR}/${_folder}/${_name}.pb)
    add_custom_command(
      OUTPUT ${_stem}.cc ${_stem}.h
      COMMAND ${WANLITE_PROTOC} -I${CMAKE_SOURCE_DIR} -I${WANLITE_PROTOBUF_INCLUDE}
              --cpp_out=${CMAKE_BINARY_DIR} ${_folder}/${_name}.proto
      WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
      DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${_name}.proto
      VERBATIM)
    list(APPEND _generated ${_stem}.cc ${_stem}.h)
  endforeach()
  set_source_files_properties(${_generated} PROPERTIES COMPILE_OPTIONS -w
    SKIP_PRECOMPILE_HEADERS ON SKIP_UNITY_BUILD_INCLUSION ON)
  set(${OUT} ${_generated} PARENT_SCOPE)
endfunction()

function(wanlite_area NAME)
  cmake_parse_arguments(ARG "NO_PCH;APART" "" "SOURCES;DEPENDS;LIBRARIES" ${ARGN})
  if(ARG_APART)
    # DEPENDS is for the direction of includes alone: linked are libwanlite and other areas apart.
    add_library(wanlite_${NAME} STATIC ${ARG_SOURCES})
    target_link_libraries(wanlite_${NAME} PUBLIC wanlite wanlite_base ${ARG_LIBRARIES})
    wanlite_unity(wanlite_${NAME} wanlite_pch)
    return()
  endif()
  add_library(wanlite_${NAME} OBJECT ${ARG_SOURCES})
  target_link_libraries(wanlite_${NAME} PUBLIC wanlite_base ${ARG_LIBRARIES})
  foreach(_dep IN LISTS ARG_DEPENDS)
    # Object libraries hand on usage requirements and build order, never their objects.
    target_link_libraries(wanlite_${NAME} PUBLIC wanlite_${_dep})
  endforeach()
  if(NOT ARG_NO_PCH)
    wanlite_unity(wanlite_${NAME} wanlite_pch)
  endif()
  set_property(GLOBAL APPEND PROPERTY WANLITE_AREAS ${NAME})
  set_property(GLOBAL APPEND PROPERTY WANLITE_AREA_LIBRARIES ${ARG_LIBRARIES})
endfunction()

# A program of ours. Links libwanlite, or with AREAS only the objects of those areas (all it needs must
# be named), so that it builds and links without the rest. QUICK: compiled without optimisation.
function(wanlite_program NAME)
  cmake_parse_arguments(ARG "QUICK" "" "SOURCES;LIBRARIES;AREAS" ${ARGN})
  add_executable(${NAME} ${ARG_SOURCES})
  if(ARG_AREAS)
    # core parses recipes, so its objects need the generated messages.
    list(APPEND ARG_AREAS proto)
    list(REMOVE_DUPLICATES ARG_AREAS)
    list(TRANSFORM ARG_AREAS PREPEND wanlite_)
    target_link_libraries(${NAME} PRIVATE ${ARG_AREAS})
  else()
    target_link_libraries(${NAME} PRIVATE wanlite)
  endif()
  target_link_libraries(${NAME} PRIVATE wanlite_base ${ARG_LIBRARIES})
  # As the library's files are compiled, so that its precompiled headers serve.
  set_target_properties(${NAME} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${NAME} PRIVATE -fPIC)
  if(ARG_QUICK)
    target_compile_options(${NAME} PRIVATE -O0)
    wanlite_unity(${NAME} wanlite_pch_quick)
  else()
    wanlite_unity(${NAME} wanlite_pch)
  endif()
endfunction()

function(wanlite_test NAME)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LABELS;LIBRARIES;AREAS" ${ARGN})
  wanlite_program(${NAME} QUICK SOURCES ${ARG_SOURCES} AREAS ${ARG_AREAS}
                  LIBRARIES wanlite_testing ${ARG_LIBRARIES})
  add_test(NAME ${NAME} COMMAND ${NAME} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 900)
  endif()
  set_tests_properties(${NAME} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT}
    SKIP_RETURN_CODE 77)
  # Golden numbers hold on every machine: the same cases again as processors without AVX-512, and without
  # AVX2, run them. The tokenizer computes with no vectors.
  if("golden" IN_LIST ARG_LABELS AND NOT NAME MATCHES "tokenizer")
    foreach(_isa avx2:AVX2 default:SSE41)
      string(REPLACE ":" ";" _isa "${_isa}")
      list(GET _isa 0 _aten)
      list(GET _isa 1 _onednn)
      add_test(NAME ${NAME}_${_aten} COMMAND ${NAME} "[golden]" WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
      set_tests_properties(${NAME}_${_aten} PROPERTIES LABELS golden TIMEOUT ${ARG_TIMEOUT}
        ENVIRONMENT "ATEN_CPU_CAPABILITY=${_aten};ONEDNN_MAX_CPU_ISA=${_onednn}")
    endforeach()
  endif()
endfunction()
