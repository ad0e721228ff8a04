/* router/prelogin.c - the hooks of streams before login; net/c2s runs them. */
#include "router/prelogin.h"

HOOK(stream_features);
HOOK(prelogin_iq);
