# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
#
# Installs the build, builds a project against the installed package, and runs its program and the
# installed command line: what a user of the package does.
#   cmake -DBUILD=… -DPROJECT=… -DWORK=… -DMODEL=… -DGENERATOR=… -P TestInstalledPackage.cmake
function(step NAME)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE _result OUTPUT_VARIABLE _output ERROR_VARIABLE _output)
  message("${NAME}:\n${_output}")
  if(NOT _result EQUAL 0)
    message(FATAL_ERROR "${NAME} failed: ${_result}")
  endif()
  set(_output "${_output}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${WORK})
step(install ${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
# The package must not need the tree that it was built in.
file(GLOB_RECURSE _files ${WORK}/prefix/lib*/cmake/*.cmake)
foreach(_file IN LISTS _files)
  file(READ ${_file} _text)
  string(FIND "${_text}" "${BUILD}" _build)
  if(NOT _build EQUAL -1)
    message(FATAL_ERROR "${_file} names the build folder")
  endif()
endforeach()
step(configure ${CMAKE_COMMAND} -G ${GENERATOR} -S ${PROJECT} -B ${WORK}/build
     -DCMAKE_PREFIX_PATH=${WORK}/prefix -DCMAKE_BUILD_TYPE=Release)
step(build ${CMAKE_COMMAND} --build ${WORK}/build)
step(run ${WORK}/build/plan ${MODEL})
if(NOT _output MATCHES "quantize-int8: [0-9]+ -> [0-9]+ bytes")
  message(FATAL_ERROR "unexpected output of the program: ${_output}")
endif()
step(command_line ${WORK}/prefix/bin/wanlite --help)
