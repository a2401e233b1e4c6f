// See ws_ledger.h.
#include "tests/sim/ws_ledger.h"

#include <catch2/catch.hpp>
#include <charconv>

namespace weir::test {
namespace {

constexpr uint64_t kVoices = 64;  // of one tunnel: the client's, and the application's by copy

// What a server of HTTP/1.1 would take for a request of its own, if it heard it before there is a tunnel.
constexpr std::string_view kHidden = "GET /hidden HTTP/1.1\r\nHost: server\r\n\r\n";

uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

std::string describe(const Side& side) {
  return "said " + std::to_string(side.said) + " of " + std::to_string(side.bytes) +
         (side.finished ? " finished" : "") + (side.broke ? " broke" : "") + ", heard " +
         std::to_string(side.heard) + (side.heard_end ? " and the end" : "") + (side.lost ? " lost" : "");
}

}  // namespace

std::string Tunnel::describe() const {
  std::string text = std::string(asks ? "tunnel " : "GET ") + path + (client_h2 ? " from h2" : " from h1") +
                     ", answer " + std::to_string(static_cast<int>(answer)) + (leaves ? ", leaves" : "") +
                     ", early " + std::to_string(early_bytes) + (early_end ? " and the end" : "") +
                     ", status " + std::to_string(status.value_or(0)) + ", told of " +
                     std::to_string(told ? told->number : 0) + "; client " + test::describe(client);
  for (const Copy& copy : copies)
    text += "; copy " + std::to_string(copy.number) + (copy.agreed ? " agreed " : " ") +
            test::describe(copy.side);
  return text;
}

Side Tunnels::side(uint64_t voice) {
  Side made;
  made.voice = voice;
  made.bytes = below(one_in(8) ? 200'000 : 3'000);
  if (!calm && one_in(6)) made.ends = one_in(4) ? Ends::stays : Ends::resets;
  return made;
}

Tunnel& Tunnels::add(bool client_h2) {
  Tunnel& tunnel = *tunnels.emplace_back(std::make_unique<Tunnel>());
  tunnel.id = tunnels.size() - 1;
  tunnel.asks = !one_in(5);
  tunnel.client_h2 = client_h2;
  tunnel.application_h2 = one_in(2);
  tunnel.path = std::string(one_in(6) ? "/denied" : "") + (tunnel.application_h2 ? "/h2/" : "/h1/") +
                std::to_string(tunnel.id);
  tunnel.policy_at_begin = policy;
  const auto orderly = static_cast<uint64_t>(Answer::resets);
  tunnel.answer = static_cast<Answer>(below(calm || !one_in(4) ? orderly : kAnswers));
  if (one_in(2)) tunnel.answer = one_in(2) ? Answer::agrees : Answer::agrees_late;
  tunnel.leaves = !calm && one_in(12);
  tunnel.client = side(tunnel.id * kVoices);
  if (client_h2) {
    tunnel.client.prefix = kHidden;
    tunnel.client.bytes += kHidden.size();
  }
  tunnel.client.waits = one_in(3);
  if (!tunnel.asks) return tunnel;
  if (one_in(3)) tunnel.early_bytes = one_in(3) ? tunnel.client.bytes : below(tunnel.client.bytes + 1);
  tunnel.early_end = client_h2 && tunnel.client.ends == Ends::orderly &&
                     tunnel.early_bytes == tunnel.client.bytes && one_in(3);
  return tunnel;
}

Tunnel* Tunnels::find(std::string_view path) {
  uint64_t id = 0;
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return nullptr;
  std::from_chars(path.data() + slash + 1, path.data() + path.size(), id);
  if (id >= tunnels.size() || tunnels[id]->path != path) return nullptr;
  return tunnels[id].get();
}

// A GET may be said again while nothing of an answer has reached its proxy, and what a try had under way when it was given
// up may still arrive: beside the first try the route's two, and on either proxy one for a pooled connection that had
// ended. In calm weather nothing is asked again but what a 503 was answered to.
Copy& Tunnels::give(Tunnel& tunnel, bool h2, bool asks) {
  INFO(tunnel.describe());
  if (!tunnel.begun) FAIL_CHECK("an application was asked for what no client had asked for");
  if (tunnel.path.starts_with("/denied/") && tunnel.policy_at_begin == policy && policy % 2 == 1)
    FAIL_CHECK("an application was asked for what its policy denies");
  if (h2 != tunnel.application_h2) FAIL_CHECK("an application was asked in another version than its port's");
  if (asks != tunnel.asks) FAIL_CHECK("an application was asked for something else");
  if (calm && tunnel.status) FAIL_CHECK("an application was asked again when the client had its answer");
  if (calm && !tunnel.copies.empty() && !tunnel.copies.back().busy)
    FAIL_CHECK("an application was asked again although nothing had gone wrong");
  if (tunnel.copies.size() >= 2 * (3 + 1)) FAIL_CHECK("an application was asked again and again");
  Copy& copy = tunnel.copies.emplace_back();
  copy.number = static_cast<uint32_t>(tunnel.copies.size());
  copy.side = side(tunnel.id * kVoices + copy.number);
  copy.side.waits = !tunnel.client.waits && one_in(3);
  return copy;
}

void Tunnels::answered(Tunnel& tunnel, uint16_t status, bool agreed, std::optional<std::string_view> name) {
  INFO(tunnel.describe() << "; status " << status << " by " << name.value_or("nobody"));
  if (tunnel.status) FAIL_CHECK("a client was answered twice");
  tunnel.status = status;
  if (!name) {
    if (status < 400 || status > 504) FAIL_CHECK("an answer that no application gave");
    return;
  }
  const size_t slash = name->find('/');
  uint64_t number = 0;
  if (slash != std::string_view::npos)
    std::from_chars(name->data() + slash + 1, name->data() + name->size(), number);
  if (name->substr(0, slash) != std::to_string(tunnel.id) || number == 0 || number > tunnel.copies.size()) {
    FAIL_CHECK("a client got an answer to another's question");
    return;
  }
  const Copy& copy = tunnel.copies[number - 1];
  if (agreed != copy.agreed)
    FAIL_CHECK("a client was told of a tunnel that no application had agreed to, or not told");
  if (!agreed) return;
  tunnel.told = &copy;
  if (tunnel.heard && tunnel.heard != &copy)
    FAIL_CHECK("a client was told of one tunnel and speaks in another");
}

std::string Tunnels::speech(const Side& side, size_t from, size_t bytes) {
  std::string text(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) {
    const size_t at = from + i;
    text[i] = at < side.prefix.size() ? side.prefix[at]
                                      : static_cast<char>(mix(side.voice << 32 | at / 8) >> (at % 8 * 8));
  }
  return text;
}

void Tunnels::hear(Tunnel& tunnel, Side& at, const Side& of, std::string_view bytes) {
  if (bytes.empty()) return;
  INFO(tunnel.describe() << "; " << bytes.size() << " bytes more");
  if (at.heard_end) FAIL_CHECK("bytes behind the end of a tunnel");
  if (at.heard + bytes.size() > of.said) {
    FAIL_CHECK("more came out of a tunnel than was said into it");
  } else if (speech(of, at.heard, bytes.size()) != bytes) {
    FAIL_CHECK("something else came out of a tunnel than was said into it");
  }
  at.heard += bytes.size();
}

void Tunnels::hear_client(Tunnel& tunnel, Copy& copy, std::string_view bytes) {
  if (bytes.empty()) return;
  INFO(tunnel.describe());
  if (!copy.agreed) FAIL_CHECK("an application heard a client before it had agreed to a tunnel");
  if (tunnel.heard && tunnel.heard != &copy) FAIL_CHECK("a client speaks in two tunnels");
  if (tunnel.told && tunnel.told != &copy) FAIL_CHECK("a client speaks in another tunnel than its own");
  tunnel.heard = &copy;
  hear(tunnel, copy.side, tunnel.client, bytes);
}

void Tunnels::hear_application(Tunnel& tunnel, std::string_view bytes) {
  hear(tunnel, tunnel.client, tunnel.told->side, bytes);
}

void Tunnels::end(Tunnel& tunnel, Side& at, const Side& of) {
  INFO(tunnel.describe());
  if (at.heard_end) FAIL_CHECK("a tunnel ended twice");
  at.heard_end = true;
  if (!of.finished) FAIL_CHECK("a tunnel ended in order whose other side had not ended it");
  if (at.heard != of.bytes) FAIL_CHECK("a part of what was said into a tunnel was passed off as the whole");
}

}  // namespace weir::test
