"""gRPC's own interop cases, Go and Ruby (on gRPC's C core) crossed: every case that both programs of a pair have.

Left out are the cases that need Google's accounts (…_creds, …_credentials, oauth2_auth_token: they are about tokens, not
about HTTP/2), and those that fail without anything between: pick_first_unary (only the C++ server tells its id) and
client_compressed_… (neither server knows that probe). Soaks make 100,000 calls to Go's server, on one channel and on as many
channels, and a tenth to Ruby's, which is slow; or WEIR_SOAK calls.
"""

import os

import pytest

import tools

BOTH = ["empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
        "timeout_on_sleeping_server", "cancel_after_begin", "cancel_after_first_response", "status_code_and_message",
        "custom_metadata", "unimplemented_method", "unimplemented_service"]
GO_ONLY = ["special_status_message"]
GO_WITH_GO = ["orca_per_rpc", "orca_oob"]  # Ruby's server reports no load.
CASES = ([("go", server, case) for server in ("go", "ruby") for case in BOTH + GO_ONLY] +
         [("go", "go", case) for case in GO_WITH_GO] +
         [("ruby", server, case) for server in ("go", "ruby") for case in BOTH])
LOAD_POLICY = '{"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}'
SOAK = int(os.environ.get("WEIR_SOAK", 0))


def ask(suites, client, server, case, *more, timeout=60):
    """Runs one case; the program itself judges."""
    suites.wait_for(f"grpc-{server}")
    host, port = suites.address(f"grpc-{server}")
    flags = [f"--server_host={host}", f"--server_port={port}", f"--test_case={case}", *more]
    command = [tools.go("grpc-interop-client")] if client == "go" else ["ruby", tools.grpc_ruby() / "client.rb"]
    done = suites.run(*command, *flags, timeout=timeout)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    suites.went_through_the_mesh(f"grpc-{server}", "request")
    return done


@pytest.mark.parametrize("client,server,case", CASES, ids=lambda value: value)
def test_an_interop_case_passes_between_two_implementations(suites, client, server, case):
    more = [f"--service_config_json={LOAD_POLICY}"] if case in GO_WITH_GO else []
    ask(suites, client, server, case, *more)


@pytest.mark.parametrize("server,calls", [("go", SOAK or 100_000), ("ruby", SOAK or 10_000)])
@pytest.mark.parametrize("case", ["rpc_soak", "channel_soak"])
def test_a_soak_of_many_calls_has_no_failure(suites, server, calls, case):
    # A channel is a connection: the client's pod must be able to use a port again before a minute has passed.
    suites.run("sysctl", "-qw", "net.ipv4.tcp_tw_reuse=1", "net.ipv4.ip_local_port_range=32768 60999")
    done = ask(suites, "go", server, case, f"--soak_iterations={calls}", "--soak_max_failures=0",
               "--soak_request_size=100", "--soak_response_size=100", "--soak_per_iteration_max_acceptable_latency_ms=2000",
               "--soak_overall_timeout_seconds=600", timeout=650)
    assert f"{calls} iterations" in done.stderr or f"{calls} / {calls}" in done.stderr, done.stderr[-500:]
