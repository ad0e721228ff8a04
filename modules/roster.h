/* modules/roster.h - rosters, for an operator's commands and for modules beside it. */
#pragma once

#include "core/attr.h"
