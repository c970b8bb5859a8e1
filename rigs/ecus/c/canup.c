/* Bring a CAN interface up: canup can0 BITRATE (a controller), or canup TTY (SLCAN; prints the interface's name). */
#include <fcntl.h>
#include <linux/can/netlink.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/tty.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

struct request {
    struct nlmsghdr head;
    struct ifinfomsg link;
    char room[256];
};

static struct rtattr *attach(struct request *r, unsigned short type, const void *data, size_t length)
{
    struct rtattr *a = (struct rtattr *)((char *)r + NLMSG_ALIGN(r->head.nlmsg_len));
    a->rta_type = type;
    a->rta_len = (unsigned short)RTA_LENGTH(length);
    if (length)
        memcpy(RTA_DATA(a), data, length);
    r->head.nlmsg_len = NLMSG_ALIGN(r->head.nlmsg_len) + RTA_ALIGN(a->rta_len);
    return a;
}

static void close_nest(struct request *r, struct rtattr *a)
{
    a->rta_len = (unsigned short)((char *)r + NLMSG_ALIGN(r->head.nlmsg_len) - (char *)a);
}

static int change(const char *name, unsigned bitrate, int up)
{
    struct request r = {.head = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)), .nlmsg_type = RTM_NEWLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK}};
    r.link.ifi_index = (int)if_nametoindex(name);
    if (!r.link.ifi_index)
        return -1;
    if (up)
        r.link.ifi_flags = r.link.ifi_change = IFF_UP;
    if (bitrate) {
        struct can_bittiming timing = {.bitrate = bitrate};
        struct rtattr *info = attach(&r, IFLA_LINKINFO, NULL, 0);
        attach(&r, IFLA_INFO_KIND, "can", 3);
        struct rtattr *data = attach(&r, IFLA_INFO_DATA, NULL, 0);
        attach(&r, IFLA_CAN_BITTIMING, &timing, sizeof timing);
        close_nest(&r, data);
        close_nest(&r, info);
    }
    int route = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    char said[1024];
    if (route < 0 || send(route, &r, r.head.nlmsg_len, 0) < 0 || recv(route, said, sizeof said, 0) < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)))
        return -1;
    int error = ((struct nlmsgerr *)NLMSG_DATA((struct nlmsghdr *)said))->error;
    close(route);
    return error ? -1 : 0;
}

static int slcan(const char *terminal)
{
    int line = open(terminal, O_RDWR | O_NOCTTY), discipline = N_SLCAN;
    struct termios raw;
    char name[IFNAMSIZ] = "";
    if (line < 0 || tcgetattr(line, &raw))
        return 1;
    cfmakeraw(&raw);
    raw.c_cflag |= CLOCAL;
    raw.c_iflag = IGNBRK | IGNPAR;
    cfsetspeed(&raw, B3000000);
    tcsetattr(line, TCSANOW, &raw);
    if (ioctl(line, TIOCSETD, &discipline) || ioctl(line, SIOCGIFNAME, name) || change(name, 0, 1))
        return 1;
    if (daemon(1, 0)) /* the line keeps its discipline while somebody has it open */
        return 1;
    for (;;)
        pause();
}

int main(int count, char **arguments)
{
    if (count == 2 && !strncmp(arguments[1], "/dev/", 5))
        return slcan(arguments[1]);
    if (count == 3 && !change(arguments[1], (unsigned)atoi(arguments[2]), 0) && !change(arguments[1], 0, 1))
        return 0;
    fprintf(stderr, "canup: %s cannot be brought up\r\n", count > 1 ? arguments[1] : "nothing");
    return 1;
}
