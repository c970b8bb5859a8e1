/* Raw CAN sockets (AF_CAN, SOCK_RAW, CAN_RAW) of a dynamically linked program, mapped onto the hub; by LD_PRELOAD.
 *
 * A CAN socket becomes one end of a pair of packet sockets, so that poll, select, epoll, fcntl, close and SO_RCVTIMEO work on it as
 * they are. A thread at the other end hands the hub's records of 80 bytes on as `struct packet`; what the program sends goes to the
 * hub at once, in its own thread.
 * SHIPEI_HUB is the hub's socket, SHIPEI_BUSES the buses' names, in the order of their interface indices from 1.
 * What is not there (BCM, ISO-TP, J1939, bridging by `ip link`) fails with EPROTONOSUPPORT and is said once on standard error. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/can.h>
#include <linux/can/raw.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MOST_FDS 1024
#define MOST_BUSES 16
#define MOST_FILTERS 512
#define F_TX 1
#define F_EXT 2
#define F_FD 4
#define F_BRS 8
#define F_ESI 16
#define F_RTR 32
#define F_ERR 64
#define F_SYNC 128
#define CANFD_FDF_FLAG 4

struct __attribute__((packed)) record { int64_t time_ns; uint32_t id; uint16_t flags; uint8_t channel, length; uint8_t data[64]; };
struct packet { struct canfd_frame frame; int32_t size, index, own; };

struct can_socket {
	int used, far, bus, index, hub[MOST_BUSES];
	int fd_frames, own, loopback, join;
	can_err_mask_t errors;
	struct can_filter filters[MOST_FILTERS];
	int filter_count;
	pthread_mutex_t lock, sending;
};

static struct can_socket *sockets[MOST_FDS];
static char buses[MOST_BUSES][IFNAMSIZ];
static int bus_count;
static pthread_mutex_t all = PTHREAD_MUTEX_INITIALIZER;

#define REAL(type, name, ...) static type (*real_##name)(__VA_ARGS__)
REAL(int, socket, int, int, int);
REAL(int, bind, int, const struct sockaddr *, socklen_t);
REAL(int, setsockopt, int, int, int, const void *, socklen_t);
REAL(int, getsockopt, int, int, int, void *, socklen_t *);
REAL(int, getsockname, int, struct sockaddr *, socklen_t *);
REAL(ssize_t, read, int, void *, size_t);
REAL(ssize_t, write, int, const void *, size_t);
REAL(ssize_t, send, int, const void *, size_t, int);
REAL(ssize_t, sendto, int, const void *, size_t, int, const struct sockaddr *, socklen_t);
REAL(ssize_t, sendmsg, int, const struct msghdr *, int);
REAL(ssize_t, recv, int, void *, size_t, int);
REAL(ssize_t, recvfrom, int, void *, size_t, int, struct sockaddr *, socklen_t *);
REAL(ssize_t, recvmsg, int, struct msghdr *, int);
REAL(int, ioctl, int, unsigned long, void *);
REAL(int, close, int);

/* Before anything else; other libraries may read or close before our turn comes. */
__attribute__((constructor)) static void begin(void)
{
	if (real_close)
		return;
#define FIND(name) real_##name = dlsym(RTLD_NEXT, #name)
	FIND(socket), FIND(bind), FIND(setsockopt), FIND(getsockopt), FIND(getsockname), FIND(read), FIND(write), FIND(send);
	FIND(sendto), FIND(sendmsg), FIND(recv), FIND(recvfrom), FIND(recvmsg), FIND(ioctl), FIND(close);
	const char *names = getenv("SHIPEI_BUSES");
	char copy[1024], *rest = copy, *word;
	snprintf(copy, sizeof copy, "%s", names ? names : "");
	while ((word = strsep(&rest, " ")) && bus_count < MOST_BUSES)
		if (*word)
			snprintf(buses[bus_count++], IFNAMSIZ, "%s", word);
}

static struct can_socket *ours(int fd)
{
	begin();
	return fd >= 0 && fd < MOST_FDS ? sockets[fd] : NULL;
}

static void lacks(const char *what)
{
	static int said;
	if (!said++)
		dprintf(2, "shipei vcan --preload: %s is not there; raw CAN sockets are. A kernel has it: shipei vcan without --preload\n", what);
}

/* ------------------------------------------------------------ the hub */

static int connect_hub(const char *bus)
{
	struct sockaddr_un where = {.sun_family = AF_UNIX};
	const char *path = getenv("SHIPEI_HUB");
	char hello[256], byte;
	int fd = real_socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!path || strlen(path) >= sizeof where.sun_path || fd < 0)
		return -1;
	strcpy(where.sun_path, path);
	snprintf(hello, sizeof hello, "{\"shipei_hub\": 1, \"bus\": \"%s\", \"listen\": true, \"echo\": true}\n", bus);
	if (connect(fd, (struct sockaddr *)&where, sizeof where) || real_write(fd, hello, strlen(hello)) < 0)
		goto failed;
	do
		if (real_read(fd, &byte, 1) != 1)
			goto failed;
	while (byte != '\n');
	return fd;
failed:
	real_close(fd);
	return -1;
}

static int wanted(struct can_socket *s, const struct packet *p)
{
	canid_t id = p->frame.can_id;
	int hits = 0, found;
	if (id & CAN_ERR_FLAG)
		return (id & s->errors) != 0;
	if ((p->own && !s->own) || (p->size == CANFD_MTU && !s->fd_frames))
		return 0;
	for (int n = 0; n < s->filter_count; n++) {
		struct can_filter f = s->filters[n];
		found = (id & f.can_mask) == (f.can_id & ~CAN_INV_FILTER & f.can_mask);
		hits += f.can_id & CAN_INV_FILTER ? !found : found;
	}
	return s->join ? hits == s->filter_count && hits : hits > 0;
}

static void to_program(struct can_socket *s, const struct record *r, int index)
{
	struct packet p = {.index = index, .own = r->flags & F_TX};
	canid_t id = r->id | (r->flags & F_EXT ? CAN_EFF_FLAG : 0) | (r->flags & F_RTR ? CAN_RTR_FLAG : 0) | (r->flags & F_ERR ? CAN_ERR_FLAG : 0);
	if (r->flags & F_SYNC)
		return;
	p.frame.can_id = id, p.frame.len = r->length;
	p.size = r->flags & F_FD ? CANFD_MTU : CAN_MTU;
	p.frame.flags = r->flags & F_FD ? CANFD_FDF_FLAG | (r->flags & F_BRS ? CANFD_BRS : 0) | (r->flags & F_ESI ? CANFD_ESI : 0) : 0;
	if (!(r->flags & F_RTR))
		memcpy(p.frame.data, r->data, r->length <= 64 ? r->length : 64);
	pthread_mutex_lock(&s->lock);
	int take = wanted(s, &p);
	pthread_mutex_unlock(&s->lock);
	if (take)
		real_send(s->far, &p, sizeof p, MSG_DONTWAIT | MSG_NOSIGNAL); /* full: it is lost, as in the kernel */
}

static void *relay(void *given)
{
	struct can_socket *s = given;
	static const int most = 256;
	struct record *block[MOST_BUSES] = {0};
	size_t have[MOST_BUSES] = {0};
	struct pollfd watched[MOST_BUSES + 1];
	int first = s->bus < 0 ? 0 : s->bus, last = s->bus < 0 ? bus_count - 1 : s->bus;
	for (int n = first; n <= last; n++)
		block[n] = malloc(most * sizeof(struct record));
	for (;;) {
		int count = 0;
		watched[count++] = (struct pollfd){.fd = s->far, .events = POLLIN};
		for (int n = first; n <= last; n++)
			watched[count++] = (struct pollfd){.fd = s->hub[n], .events = POLLIN};
		if (poll(watched, count, -1) < 0 && errno != EINTR)
			break;
		if (watched[0].revents) {
			char nothing;
			ssize_t got = real_recv(s->far, &nothing, 1, MSG_DONTWAIT);
			if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
				break; /* the program closed it */
		}
		for (int n = first, at = 1; n <= last; n++, at++) {
			if (!watched[at].revents)
				continue;
			ssize_t got = real_read(s->hub[n], (char *)block[n] + have[n], most * sizeof(struct record) - have[n]);
			if (got <= 0)
				goto over; /* the hub is gone: the program sees the end of its socket */
			have[n] += got;
			size_t whole = have[n] / sizeof(struct record);
			for (size_t k = 0; k < whole; k++)
				to_program(s, &block[n][k], n + 1);
			have[n] -= whole * sizeof(struct record);
			memmove(block[n], (char *)block[n] + whole * sizeof(struct record), have[n]);
		}
	}
over:
	for (int n = first; n <= last; n++)
		real_close(s->hub[n]), free(block[n]);
	real_close(s->far);
	pthread_mutex_destroy(&s->lock), pthread_mutex_destroy(&s->sending);
	free(s);
	return NULL;
}

/* ------------------------------------------------------------ what programs call */

int socket(int domain, int type, int protocol)
{
	begin();
	if (domain != AF_CAN)
		return real_socket(domain, type, protocol);
	if ((type & 0xf) != SOCK_RAW || protocol != CAN_RAW) {
		lacks(protocol == CAN_BCM ? "the broadcast manager (CAN_BCM)" : protocol == CAN_ISOTP ? "kernel ISO-TP" : "this CAN protocol");
		errno = EPROTONOSUPPORT;
		return -1;
	}
	int pair[2], large = 4 << 20;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | (type & (SOCK_CLOEXEC | SOCK_NONBLOCK)), 0, pair))
		return -1;
	if (pair[0] >= MOST_FDS) {
		real_close(pair[0]), real_close(pair[1]);
		errno = EMFILE;
		return -1;
	}
	real_setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &large, sizeof large);
	struct can_socket *s = calloc(1, sizeof *s);
	s->far = pair[1], s->loopback = 1, s->filter_count = 1; /* one filter that takes everything */
	pthread_mutex_init(&s->lock, NULL), pthread_mutex_init(&s->sending, NULL);
	pthread_mutex_lock(&all);
	sockets[pair[0]] = s;
	pthread_mutex_unlock(&all);
	return pair[0];
}

int bind(int fd, const struct sockaddr *address, socklen_t size)
{
	struct can_socket *s = ours(fd);
	if (!s)
		return real_bind(fd, address, size);
	const struct sockaddr_can *can = (const void *)address;
	if (size < 8 || can->can_family != AF_CAN || s->used) {
		errno = EINVAL;
		return -1;
	}
	if (can->can_ifindex < 0 || can->can_ifindex > bus_count) {
		errno = ENODEV;
		return -1;
	}
	s->index = can->can_ifindex, s->bus = s->index - 1;
	for (int n = 0; n < MOST_BUSES; n++)
		s->hub[n] = n < bus_count && (s->bus < 0 || s->bus == n) ? connect_hub(buses[n]) : -1;
	if (s->bus >= 0 && s->hub[s->bus] < 0) {
		dprintf(2, "shipei vcan --preload: the hub is gone\n");
		errno = ENETDOWN;
		return -1;
	}
	pthread_t thread;
	sigset_t every, before;
	sigfillset(&every);
	pthread_sigmask(SIG_SETMASK, &every, &before); /* signals are the program's */
	int failed = pthread_create(&thread, NULL, relay, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed) {
		errno = failed;
		return -1;
	}
	pthread_detach(thread);
	s->used = 1;
	return 0;
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t size)
{
	struct can_socket *s = ours(fd);
	if (!s || level != SOL_CAN_RAW)
		return real_setsockopt(fd, level, option, value, size);
	int number = size >= sizeof(int) ? *(const int *)value : 0, failed = 0;
	pthread_mutex_lock(&s->lock);
	switch (option) {
	case CAN_RAW_FILTER:
		if (size % sizeof(struct can_filter) || size / sizeof(struct can_filter) > MOST_FILTERS)
			failed = EINVAL;
		else
			memcpy(s->filters, value, size), s->filter_count = size / sizeof(struct can_filter);
		break;
	case CAN_RAW_ERR_FILTER: s->errors = number & CAN_ERR_MASK; break;
	case CAN_RAW_LOOPBACK: s->loopback = number; break;
	case CAN_RAW_RECV_OWN_MSGS: s->own = number; break;
	case CAN_RAW_FD_FRAMES: s->fd_frames = number; break;
	case CAN_RAW_JOIN_FILTERS: s->join = number; break;
	default: failed = ENOPROTOOPT;
	}
	pthread_mutex_unlock(&s->lock);
	if (option == CAN_RAW_LOOPBACK && !number)
		lacks("CAN_RAW_LOOPBACK=0"), failed = ENOPROTOOPT;
	errno = failed;
	return failed ? -1 : 0;
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *size)
{
	struct can_socket *s = ours(fd);
	if (!s || level != SOL_CAN_RAW)
		return real_getsockopt(fd, level, option, value, size);
	int number = option == CAN_RAW_ERR_FILTER ? (int)s->errors : option == CAN_RAW_LOOPBACK ? s->loopback :
		option == CAN_RAW_RECV_OWN_MSGS ? s->own : option == CAN_RAW_FD_FRAMES ? s->fd_frames : -1;
	if (number == -1 || *size < sizeof number) {
		errno = ENOPROTOOPT;
		return -1;
	}
	memcpy(value, &number, sizeof number);
	*size = sizeof number;
	return 0;
}

static void put_address(int index, void *name, socklen_t *size)
{
	struct sockaddr_can can = {.can_family = AF_CAN, .can_ifindex = index};
	if (name && size) {
		memcpy(name, &can, *size < sizeof can ? *size : sizeof can);
		*size = sizeof can;
	}
}

int getsockname(int fd, struct sockaddr *address, socklen_t *size)
{
	struct can_socket *s = ours(fd);
	if (!s)
		return real_getsockname(fd, address, size);
	put_address(s->index, address, size);
	return 0;
}

/* At once, by who sends: a program that ends right afterwards has sent it. */
static int to_hub(struct can_socket *s, const struct packet *p)
{
	canid_t id = p->frame.can_id;
	struct record r = {.id = id & (id & CAN_EFF_FLAG ? CAN_EFF_MASK : CAN_SFF_MASK), .length = p->frame.len};
	r.flags = (id & CAN_EFF_FLAG ? F_EXT : 0) | (id & CAN_RTR_FLAG ? F_RTR : 0) | (id & CAN_ERR_FLAG ? F_ERR : 0);
	if (p->size == CANFD_MTU)
		r.flags |= F_FD | (p->frame.flags & CANFD_BRS ? F_BRS : 0) | (p->frame.flags & CANFD_ESI ? F_ESI : 0);
	memcpy(r.data, p->frame.data, r.length);
	if (p->index > bus_count || s->hub[p->index - 1] < 0) {
		errno = ENXIO;
		return -1;
	}
	pthread_mutex_lock(&s->sending);
	ssize_t sent = real_send(s->hub[p->index - 1], &r, sizeof r, MSG_NOSIGNAL);
	pthread_mutex_unlock(&s->sending);
	if (sent != sizeof r)
		errno = ENETDOWN;
	return sent == sizeof r ? 0 : -1;
}

static ssize_t put(struct can_socket *s, const void *data, size_t size, int index)
{
	struct packet p = {.size = size, .index = index ? index : s->index};
	if (!s->used || p.index < 1) {
		errno = s->used ? ENXIO : ENOTCONN;
		return -1;
	}
	if (size != CAN_MTU && !(size == CANFD_MTU && s->fd_frames)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(&p.frame, data, size);
	if (p.frame.len > (size == CAN_MTU ? 8 : 64)) {
		errno = EINVAL;
		return -1;
	}
	return to_hub(s, &p) ? -1 : (ssize_t)size;
}

static ssize_t get(int fd, void *data, size_t size, int flags, struct packet *p)
{
	ssize_t got = real_recv(fd, p, sizeof *p, flags);
	if (got == 0)
		errno = ENETDOWN;
	if (got != sizeof *p)
		return -1;
	size = size < (size_t)p->size ? size : (size_t)p->size;
	memcpy(data, &p->frame, size);
	return size;
}

ssize_t read(int fd, void *data, size_t size)
{
	struct packet p;
	return ours(fd) ? get(fd, data, size, 0, &p) : real_read(fd, data, size);
}

ssize_t recv(int fd, void *data, size_t size, int flags)
{
	struct packet p;
	return ours(fd) ? get(fd, data, size, flags, &p) : real_recv(fd, data, size, flags);
}

ssize_t recvfrom(int fd, void *data, size_t size, int flags, struct sockaddr *from, socklen_t *length)
{
	struct packet p;
	if (!ours(fd))
		return real_recvfrom(fd, data, size, flags, from, length);
	ssize_t got = get(fd, data, size, flags, &p);
	if (got >= 0)
		put_address(p.index, from, length);
	return got;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	if (!ours(fd))
		return real_recvmsg(fd, message, flags);
	struct packet p;
	struct iovec whole = {&p, sizeof p};
	struct msghdr inner = {.msg_iov = &whole, .msg_iovlen = 1, .msg_control = message->msg_control, .msg_controllen = message->msg_controllen};
	ssize_t got = real_recvmsg(fd, &inner, flags);
	if (got != sizeof p) {
		errno = got == 0 ? ENETDOWN : errno;
		return -1;
	}
	size_t left = p.size, at = 0;
	for (size_t n = 0; n < message->msg_iovlen && left; n++) {
		size_t part = message->msg_iov[n].iov_len < left ? message->msg_iov[n].iov_len : left;
		memcpy(message->msg_iov[n].iov_base, (char *)&p.frame + at, part);
		at += part, left -= part;
	}
	put_address(p.index, message->msg_name, &message->msg_namelen);
	message->msg_controllen = inner.msg_controllen;
	message->msg_flags = (inner.msg_flags & ~MSG_EOR) | MSG_DONTROUTE | (p.own ? MSG_CONFIRM : 0);
	return at;
}

ssize_t write(int fd, const void *data, size_t size)
{
	struct can_socket *s = ours(fd);
	return s ? put(s, data, size, 0) : real_write(fd, data, size);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
	struct can_socket *s = ours(fd);
	return s ? put(s, data, size, 0) : real_send(fd, data, size, flags);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length)
{
	struct can_socket *s = ours(fd);
	if (!s)
		return real_sendto(fd, data, size, flags, to, length);
	return put(s, data, size, to ? ((const struct sockaddr_can *)to)->can_ifindex : 0);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct can_socket *s = ours(fd);
	if (!s)
		return real_sendmsg(fd, message, flags);
	char frame[CANFD_MTU];
	size_t size = 0;
	for (size_t n = 0; n < message->msg_iovlen; n++) {
		size_t part = message->msg_iov[n].iov_len;
		if (size + part > sizeof frame) {
			errno = EINVAL;
			return -1;
		}
		memcpy(frame + size, message->msg_iov[n].iov_base, part);
		size += part;
	}
	const struct sockaddr_can *to = message->msg_name;
	return put(s, frame, size, to ? to->can_ifindex : 0);
}

static int index_of(const char *name)
{
	for (int n = 0; n < bus_count; n++)
		if (!strncmp(name, buses[n], IFNAMSIZ))
			return n + 1;
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list rest;
	va_start(rest, request);
	void *given = va_arg(rest, void *);
	va_end(rest);
	if (!ours(fd))
		return real_ioctl(fd, request, given);
	struct ifreq *asked = given;
	int index = request == SIOCGIFNAME ? asked->ifr_ifindex : request == SIOCGIFINDEX || request == SIOCGIFMTU || request == SIOCGIFFLAGS ? index_of(asked->ifr_name) : -1;
	if (index < 0)
		return real_ioctl(fd, request, given);
	if (index == 0 || index > bus_count) {
		errno = ENODEV;
		return -1;
	}
	if (request == SIOCGIFINDEX)
		asked->ifr_ifindex = index;
	else if (request == SIOCGIFMTU)
		asked->ifr_mtu = CANFD_MTU;
	else if (request == SIOCGIFFLAGS)
		asked->ifr_flags = IFF_UP | IFF_RUNNING;
	else
		memcpy(asked->ifr_name, buses[index - 1], IFNAMSIZ);
	return 0;
}

unsigned int if_nametoindex(const char *name)
{
	static unsigned int (*real)(const char *);
	if (!real)
		real = dlsym(RTLD_NEXT, "if_nametoindex");
	int found = index_of(name);
	return found ? (unsigned int)found : real(name);
}

char *if_indextoname(unsigned int index, char name[IF_NAMESIZE])
{
	static char *(*real)(unsigned int, char *);
	if (!real)
		real = dlsym(RTLD_NEXT, "if_indextoname");
	if (index < 1 || index > (unsigned int)bus_count)
		return real(index, name);
	return strcpy(name, buses[index - 1]);
}

int close(int fd)
{
	struct can_socket *s = ours(fd);
	if (s) {
		pthread_mutex_lock(&all);
		sockets[fd] = NULL;
		pthread_mutex_unlock(&all);
		if (!s->used) {
			real_close(s->far);
			free(s);
		}
	}
	return real_close(fd);
}
