/* Bit-fields are widened, moved, and joined by new ones; signed ones keep their sign. */
#include "data.h"

enum { PACKETS = 8 };
struct packet {
#if VERSION < 2
    unsigned version : 3;
    unsigned urgent : 1;
    signed delta : 4;
    unsigned length : 10;
#else
    unsigned urgent : 1;
    unsigned version : 7;
    unsigned fresh : 2;
    unsigned long length : 40;
    signed delta : 12;
#endif
    struct packet *next;
};
static struct packet *packets;
static struct packet ring[PACKETS];

SEPARATE static void fill(struct packet *packet, int i) {
    packet->version = (unsigned)i & 7;
    packet->urgent = i & 1;
    packet->delta = i - 8;
    packet->length = (unsigned)i * 146;
#if VERSION >= 2
    packet->fresh = 0;
#endif
}

SEPARATE static void make(void) {
    made_by = VERSION;
    for (int i = PACKETS - 1; i >= 0; i--) {
        struct packet *packet = malloc(sizeof *packet);
        memset(packet, 0xff, sizeof *packet);
        fill(packet, i);
        fill(&ring[i], i);
        packet->next = packets;
        packets = packet;
    }
}

SEPARATE static void check_packet(const struct packet *packet, int i) {
    expect("version", i & 7, packet->version);
    expect("urgent", i & 1, packet->urgent);
    expect("delta", i - 8, packet->delta);
    expect("length", i * 146, (long long)packet->length);
#if VERSION >= 2
    expect("fresh", IS_FOREIGN ? 2 : 0, packet->fresh);
#endif
}

SEPARATE static void check(void) {
    int i = 0;
    for (struct packet *packet = packets, *next; packet; packet = next, i++) {
        next = packet->next;
        check_packet(packet, i);
        check_packet(&ring[i], i);
        free(packet);
    }
    expect("packets", PACKETS, i);
    use_heap();
}

int main(void) {
    make();
    update_here();
    check();
    return finish();
}
