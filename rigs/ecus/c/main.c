/* The mains in one program: behind the stepper where SHIPEI_STEPPER is set, on the hub where SHIPEI_HUB is, else on a kernel's bus. */
#include <stdlib.h>

#include "mains.h"

int main(void)
{
    if (getenv("SHIPEI_STEPPER"))
        return stepper();
    return getenv("SHIPEI_HUB") ? hub() : socketcan();
}
