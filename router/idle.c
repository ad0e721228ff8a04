/* router/idle.c - the hook of silent streams; net/c2s runs it. */
#include "router/idle.h"

HOOK(session_idle);
