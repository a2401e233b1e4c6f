// Failures in the words of whoever asked.
#include "nodeproxy/flow/plan.h"

#include <catch2/catch.hpp>

namespace weir::flow {
namespace {

TEST_CASE("whose fault it is decides the status") {
  CHECK(status_of(Reason::bad_request) == 400);
  CHECK(status_of(Reason::denied) == 403);
  CHECK(status_of(Reason::not_allowed) == 403);
  CHECK(status_of(Reason::policy_changed) == 403);
  CHECK(status_of(Reason::upgrade_refused) == 403);
  CHECK(status_of(Reason::upgrade_refused, Source::upstream) == 501);
  CHECK(status_of(Reason::route_not_found) == 404);
  CHECK(status_of(Reason::header_timeout) == 408);
  CHECK(status_of(Reason::head_too_large) == 431);
  CHECK(status_of(Reason::head_too_large, Source::upstream) == 502);
  CHECK(status_of(Reason::route_invalid) == 500);
  CHECK(status_of(Reason::bad_response) == 502);
  CHECK(status_of(Reason::server_reset) == 502);
  CHECK(status_of(Reason::stream_reset) == 502);
  CHECK(status_of(Reason::truncated) == 502);
}

TEST_CASE("what could not be reached is 503, and what was too slow is 504") {
  for (const Reason reason : {Reason::no_endpoint, Reason::refused, Reason::circuit_open, Reason::overloaded,
                              Reason::draining, Reason::certificate_missing, Reason::connect_timeout,
                              Reason::stream_refused, Reason::pod_removed, Reason::inspection_required}) {
    INFO(label(reason));
    CHECK(status_of(reason) == 503);
  }
  CHECK(status_of(Reason::request_timeout) == 504);
  CHECK(status_of(Reason::backend_timeout) == 504);
  CHECK(status_of(Reason::idle_timeout) == 504);
}

TEST_CASE("a gRPC client gets the code that its own library would have made of the status") {
  CHECK(grpc_code_of(Reason::bad_request) == 13);
  CHECK(grpc_code_of(Reason::denied) == 7);
  CHECK(grpc_code_of(Reason::route_not_found) == 12);
  CHECK(grpc_code_of(Reason::bad_response) == 14);
  CHECK(grpc_code_of(Reason::no_endpoint) == 14);
  CHECK(grpc_code_of(Reason::route_invalid) == 2);
}

TEST_CASE("a gRPC client is told of deadlines and of limits in its own terms") {
  CHECK(grpc_code_of(Reason::request_timeout) == 4);
  CHECK(grpc_code_of(Reason::backend_timeout) == 4);
  CHECK(grpc_code_of(Reason::head_too_large) == 8);
}

}  // namespace
}  // namespace weir::flow
