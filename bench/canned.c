/* The backend behind the proxies under test: answers every request at once from one epoll loop, so that it never is
 * the bottleneck. Usage: canned PORT
 *
 * The body is the version "1". Under /vary each response head is different from all others (an ETag that counts),
 * as those of real pages are, where a proxy cannot know the head already. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const char same[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
                           "Date: Tue, 24 Nov 2026 02:16:19 GMT\r\nContent-Length: 2\r\n\r\n1\n";
static const char varying[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nETag: \"%016lx\"\r\n"
                              "Date: Tue, 24 Nov 2026 02:16:19 GMT\r\nContent-Length: 2\r\n\r\n1\n";

static int listen_on(int port)
{
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* accepted sockets inherit it */
	if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)) {
		perror("canned");
		exit(1);
	}
	return fd;
}

static void watch(int poll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
}

/* Answers the requests in one read. The load tools send a head in one piece and wait for its answer. */
static void answer(int fd)
{
	static char request[65536], response[sizeof varying + 16];
	static unsigned long count;
	ssize_t size = recv(fd, request, sizeof request, 0);
	if (size < 0 && errno == EAGAIN)
		return;
	if (size <= 0) {
		close(fd);
		return;
	}
	for (char *at = request; (at = memmem(at, request + size - at, "\r\n\r\n", 4)); at += 4) {
		if (memmem(request, size, " /vary", 6))
			send(fd, response, sprintf(response, varying, ++count), MSG_NOSIGNAL);
		else
			send(fd, same, sizeof same - 1, MSG_NOSIGNAL);
	}
	if (memmem(request, size, "\r\nConnection: close", 19))
		close(fd);
}

int main(int argc, char **argv)
{
	struct epoll_event events[256];
	if (argc != 2) {
		fputs("usage: canned PORT\n", stderr);
		return 2;
	}
	int listener = listen_on(atoi(argv[1])), poll = epoll_create1(0);
	watch(poll, listener);
	for (;;) {
		int ready = epoll_wait(poll, events, 256, -1);
		for (int i = 0; i < ready; i++) {
			if (events[i].data.fd != listener)
				answer(events[i].data.fd);
			else
				for (int fd; (fd = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0;)
					watch(poll, fd);
		}
	}
}
