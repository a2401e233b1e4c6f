// See http_ledger.h.
#include "tests/sim/http_ledger.h"

#include <catch2/catch.hpp>
#include <charconv>
#include <functional>

namespace weir::test {

std::string pattern_text(size_t bytes, uint64_t salt) {
  std::string text(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>('a' + (i * 131 + salt * 7 + i / 251) % 26);
  return text;
}

Request& Ledger::add(bool calm) {
  static constexpr const char* kMethods[] = {"GET", "GET", "PUT", "POST", "POST", "DELETE", "HEAD"};
  Request& request = *requests.emplace_back(std::make_unique<Request>());
  request.id = requests.size() - 1;
  request.method = kMethods[below(std::size(kMethods))];
  request.path = (one_in(6) ? "/denied/" : "/r/") + std::to_string(request.id);
  request.has_body = request.method == "POST" ? !one_in(4) : request.method == "PUT";
  if (request.has_body) request.body = pattern_text(below(one_in(8) ? 200'000 : 3'000), request.id);
  request.length_declared = !one_in(3);
  request.answer_bytes = below(one_in(8) ? 200'000 : 2'000);
  request.policy_at_begin = policy;
  const int orderly = static_cast<int>(Manner::busy_first);
  request.manner = static_cast<Manner>(calm || !one_in(4) ? below(static_cast<uint64_t>(orderly))
                                                          : below(static_cast<uint64_t>(kManners)));
  if (!calm && one_in(10)) request.leave = static_cast<Leave>(1 + below(5));
  if (!request.has_body && !request.said_whole()) request.leave = Leave::resets_waiting;
  request.said_bytes = below(request.body.size() + 1);
  return request;
}

Request* Ledger::find(std::string_view path) {
  uint64_t id = 0;
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return nullptr;
  std::from_chars(path.data() + slash + 1, path.data() + path.size(), id);
  if (id >= requests.size() || requests[id]->path != path) return nullptr;
  return requests[id].get();
}

uint32_t Ledger::give(Request& request) {
  INFO("request " << request.id << " " << request.method << " " << request.path);
  if (!request.begun) FAIL_CHECK("an application got a request that no client had sent");
  if (request.path.starts_with("/denied/") && request.policy_at_begin == policy && policy % 2 == 1)
    FAIL_CHECK("an application got a request that its policy denies");
  if (++request.given > 1 && !request.idempotent()) FAIL_CHECK("an application got a POST twice");
  return request.given;
}

void Ledger::gave_whole(Request& request, const std::string& body) {
  INFO("request " << request.id << " " << request.method << " manner " << static_cast<int>(request.manner)
                  << ", " << body.size() << " of " << request.body.size());
  if (!request.said_whole()) FAIL_CHECK("an application took a part of a request for the whole");
  if (body != request.body) FAIL_CHECK("an application got another body than the client's");
  ++request.whole;
}

std::string Ledger::answer(const Request& request, uint32_t copy, std::string_view received) {
  return request.method + " " + request.path + " " + std::to_string(std::hash<std::string_view>()(received)) +
         " " + std::to_string(copy) + "\n" + pattern_text(request.answer_bytes, request.id + copy);
}

std::string Ledger::describe(const Request& request) {
  return request.method + " " + request.path + " manner " + std::to_string(static_cast<int>(request.manner)) +
         " leave " + std::to_string(static_cast<int>(request.leave)) + " body " +
         std::to_string(request.body.size()) + " given " + std::to_string(request.given) + " whole " +
         std::to_string(request.whole) + " status " + std::to_string(request.status.value_or(0)) +
         (request.ended ? " ended" : "");
}

void Ledger::head(Request& request, uint16_t status, std::optional<std::string_view> name) {
  INFO("request " << request.id << " " << request.method << " status " << status);
  if (request.status) FAIL_CHECK("a request was answered twice");
  request.status = status;
  request.from_application = name.has_value();
  if (name && *name != std::to_string(request.id))
    FAIL_CHECK("a request got the answer to request " << *name);
  if (!name && (status < 400 || status > 504)) FAIL_CHECK("an answer that no application gave");
}

void Ledger::end(Request& request, const std::string& body) {
  INFO("request " << request.id << " " << request.method << " manner " << static_cast<int>(request.manner)
                  << " status " << request.status.value_or(0) << " given " << request.given << ", "
                  << body.size() << " bytes of "
                  << (request.answers.empty() ? 0 : request.answers.back().size()));
  if (!request.status) FAIL_CHECK("an answer without a head");
  if (request.ended) FAIL_CHECK("an answer ended twice");
  request.ended = true;
  if (!request.from_application || request.method == "HEAD") return;
  for (const std::string& one : request.answers) {
    if (one == body) return;
  }
  FAIL_CHECK("an answer ended in order and is not what the application gave");
}

}  // namespace weir::test
