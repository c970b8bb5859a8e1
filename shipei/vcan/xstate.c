/* Lets a User-Mode Linux of 6.1 run on CPUs whose extended register state is larger than its buffer (AMX).
 *
 * Reading with a short buffer is fine: the host's kernel cuts. Writing with one fails (EFAULT), and the guest panics. So a write
 * of the extended state becomes: read it whole, lay the short part over its beginning, write it whole; the state of the AMX tiles,
 * which the guest never had, is marked as unused. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define XSTATE_BV 512 /* byte offset of the bitmap of parts in use, behind the legacy area */
#define TILES ((uint64_t)3 << 17)

static unsigned char whole[1 << 16] __attribute__((aligned(64)));

static long put_state(long pid, struct iovec *given)
{
	struct iovec all = {whole, sizeof whole};
	long failed = syscall(SYS_ptrace, PTRACE_GETREGSET, pid, NT_X86_XSTATE, &all);
	if (failed < 0)
		return failed;
	if (all.iov_len <= given->iov_len)
		return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, NT_X86_XSTATE, given);
	memcpy(whole, given->iov_base, given->iov_len);
	uint64_t used;
	memcpy(&used, whole + XSTATE_BV, sizeof used);
	used &= ~TILES;
	memcpy(whole + XSTATE_BV, &used, sizeof used);
	return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, NT_X86_XSTATE, &all);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list rest;
	va_start(rest, request);
	long pid = va_arg(rest, int);
	void *address = va_arg(rest, void *), *data = va_arg(rest, void *);
	va_end(rest);
	if (request == PTRACE_SETREGSET && (long)address == NT_X86_XSTATE)
		return put_state(pid, data);
	if (request != PTRACE_PEEKTEXT && request != PTRACE_PEEKDATA && request != PTRACE_PEEKUSER)
		return syscall(SYS_ptrace, (long)request, pid, address, data);
	long word = 0;
	long failed = syscall(SYS_ptrace, (long)request, pid, address, &word);
	if (failed < 0)
		return failed;
	errno = 0;
	return word;
}
