# bash completion for linnetctl: source this file; an installation has it as
# /usr/share/bash-completion/completions/linnetctl. What can be said comes from linnetctl --complete,
# which asks the running server.
_linnetctl() {
	local line=${COMP_LINE:0:COMP_POINT} current said words

	read -ra words <<<"$line"
	[[ $line != *[[:space:]] ]] || words+=('')
	current=${words[-1]}
	COMPREPLY=()
	mapfile -t said < <("${words[0]/#~\//$HOME/}" --complete -- "${words[@]:1}" 2>/dev/null)
	if [[ ${said[0]} == :file ]]; then
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		return
	fi
	# What bash completes, $2, may be only a part of the word: JIDs have an @ in them.
	COMPREPLY=("${said[@]#"${current%"$2"}"}")
}
complete -F _linnetctl linnetctl
