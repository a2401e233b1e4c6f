// Parsing, printing and sockaddr conversion of the address values. See ip.h.
#include "nodeproxy/base/ip.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace weir {
namespace {

constexpr std::array<uint8_t, 12> kMappedPrefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

std::optional<uint32_t> parse_number(std::string_view text, uint32_t max) {
  uint32_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > max) return std::nullopt;
  return value;
}

}  // namespace

std::optional<Ip> Ip::parse(std::string_view text) {
  const std::string copy(text);
  in_addr v4{};
  if (inet_pton(AF_INET, copy.c_str(), &v4) == 1) return from_v4(v4);
  in6_addr v6{};
  if (inet_pton(AF_INET6, copy.c_str(), &v6) == 1) return from_v6(v6);
  return std::nullopt;
}

Ip Ip::from_v4(in_addr address) {
  Ip ip;
  std::copy(kMappedPrefix.begin(), kMappedPrefix.end(), ip.bytes_.begin());
  std::memcpy(ip.bytes_.data() + 12, &address.s_addr, 4);
  return ip;
}

Ip Ip::from_v6(const in6_addr& address) {
  Ip ip;
  std::memcpy(ip.bytes_.data(), address.s6_addr, 16);
  return ip;
}

std::optional<Ip> Ip::from_bytes(std::string_view bytes) {
  if (bytes.size() == 4) {
    in_addr v4{};
    std::memcpy(&v4.s_addr, bytes.data(), 4);
    return from_v4(v4);
  }
  if (bytes.size() != 16) return std::nullopt;
  Ip ip;
  std::memcpy(ip.bytes_.data(), bytes.data(), 16);
  return ip;
}

bool Ip::is_v4() const { return std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes_.begin()); }

bool Ip::is_unspecified() const {
  const size_t from = is_v4() ? 12 : 0;
  return std::all_of(bytes_.begin() + from, bytes_.end(), [](uint8_t b) { return b == 0; });
}

bool Ip::is_multicast() const { return is_v4() ? (bytes_[12] & 0xf0) == 0xe0 : bytes_[0] == 0xff; }

bool Ip::is_loopback() const {
  if (is_v4()) return bytes_[12] == 127;
  return std::all_of(bytes_.begin(), bytes_.end() - 1, [](uint8_t b) { return b == 0; }) && bytes_[15] == 1;
}

bool Ip::is_link_local() const {
  if (is_v4()) return bytes_[12] == 169 && bytes_[13] == 254;
  return bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
}

std::string Ip::to_string() const {
  char text[INET6_ADDRSTRLEN] = {};
  if (is_v4()) {
    inet_ntop(AF_INET, bytes_.data() + 12, text, sizeof(text));
  } else {
    inet_ntop(AF_INET6, bytes_.data(), text, sizeof(text));
  }
  return text;
}

std::string Ip::to_wire() const {
  const char* data = reinterpret_cast<const char*>(bytes_.data());
  return is_v4() ? std::string(data + 12, 4) : std::string(data, 16);
}

std::optional<SocketAddress> SocketAddress::parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return std::nullopt;  // an IPv6 address needs brackets
  }
  const auto ip = Ip::parse(host);
  const auto port = parse_number(text.substr(colon + 1), 65535);
  if (!ip || !port) return std::nullopt;
  return SocketAddress{*ip, static_cast<uint16_t>(*port)};
}

std::optional<SocketAddress> SocketAddress::from_sockaddr(const sockaddr* address, socklen_t length) {
  if (address->sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
    sockaddr_in in{};
    std::memcpy(&in, address, sizeof(in));
    return SocketAddress{Ip::from_v4(in.sin_addr), ntohs(in.sin_port)};
  }
  if (address->sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    sockaddr_in6 in{};
    std::memcpy(&in, address, sizeof(in));
    return SocketAddress{Ip::from_v6(in.sin6_addr), ntohs(in.sin6_port)};
  }
  return std::nullopt;
}

socklen_t SocketAddress::to_sockaddr(sockaddr_storage& out, bool as_v6) const {
  out = {};
  if (ip.is_v4() && !as_v6) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    std::memcpy(&in.sin_addr.s_addr, ip.bytes().data() + 12, 4);
    std::memcpy(&out, &in, sizeof(in));
    return sizeof(in);
  }
  sockaddr_in6 in{};
  in.sin6_family = AF_INET6;
  in.sin6_port = htons(port);
  std::memcpy(in.sin6_addr.s6_addr, ip.bytes().data(), 16);
  std::memcpy(&out, &in, sizeof(in));
  return sizeof(in);
}

std::string SocketAddress::to_string() const {
  const std::string host = ip.is_v4() ? ip.to_string() : "[" + ip.to_string() + "]";
  return host + ":" + std::to_string(port);
}

std::optional<Prefix> Prefix::parse(std::string_view text) {
  const size_t slash = text.find('/');
  const auto ip = Ip::parse(text.substr(0, slash));
  if (!ip) return std::nullopt;
  if (slash == std::string_view::npos) return Prefix{*ip, 128};
  const uint32_t width = ip->is_v4() ? 32 : 128;
  const auto bits = parse_number(text.substr(slash + 1), width);
  if (!bits) return std::nullopt;
  return Prefix{*ip, static_cast<uint8_t>(*bits + (128 - width))};
}

bool Prefix::contains(const Ip& address) const {
  const size_t whole = bits / 8;
  if (std::memcmp(ip.bytes().data(), address.bytes().data(), whole) != 0) return false;
  const int rest = bits % 8;
  if (rest == 0) return true;
  const uint8_t mask = static_cast<uint8_t>(0xff << (8 - rest));
  return (ip.bytes()[whole] & mask) == (address.bytes()[whole] & mask);
}

std::string Prefix::to_string() const {
  const int shown = ip.is_v4() ? bits - 96 : bits;
  return ip.to_string() + "/" + std::to_string(shown);
}

}  // namespace weir

size_t std::hash<weir::Ip>::operator()(const weir::Ip& ip) const noexcept {
  uint64_t high = 0, low = 0;
  std::memcpy(&high, ip.bytes().data(), 8);
  std::memcpy(&low, ip.bytes().data() + 8, 8);
  uint64_t mixed = (high ^ (low * 0x9E3779B97F4A7C15ULL));
  mixed = (mixed ^ (mixed >> 29)) * 0xBF58476D1CE4E5B9ULL;
  return mixed ^ (mixed >> 32);  // users take low bits and high bits
}
