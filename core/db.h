/* core/db.h - storage behind one narrow SQL interface; drivers are modules (modules/db_*.c).
 * Filled in with its implementation. */
#pragma once
