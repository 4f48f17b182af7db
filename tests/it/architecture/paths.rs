//! The paths and texts of one item of a source file, and the names that it defines.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use super::modules::{Import, Segments};

/// The names that the code of an item uses.
#[derive(Default)]
pub(super) struct Found {
    pub(super) paths: BTreeSet<Segments>,
    /// The `use` declarations in its functions.
    pub(super) imports: Vec<Import>,
    /// String literals.
    pub(super) texts: Vec<String>,
}

pub(super) fn of_item(item: &syn::Item) -> Found {
    let mut found = Found::default();
    found.visit_item(item);
    found
}

/// An identifier's name; `r#type` is `type`.
pub(super) fn name_of(ident: &proc_macro2::Ident) -> String {
    ident.to_string().trim_start_matches("r#").to_owned()
}

/// The names that an item defines in its module.
pub(super) fn defined(item: &syn::Item) -> Option<String> {
    let ident = match item {
        syn::Item::Const(item) => &item.ident,
        syn::Item::Enum(item) => &item.ident,
        syn::Item::Fn(item) => &item.sig.ident,
        syn::Item::Macro(item) => item.ident.as_ref()?,
        syn::Item::Static(item) => &item.ident,
        syn::Item::Struct(item) => &item.ident,
        syn::Item::Trait(item) => &item.ident,
        syn::Item::TraitAlias(item) => &item.ident,
        syn::Item::Type(item) => &item.ident,
        syn::Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name_of(ident))
}

pub(super) fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// True for `#[cfg(test)]` and `#[cfg(all(test, …))]`.
pub(super) fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string().replace(' ', "");
            condition == "test" || condition.starts_with("all(test,")
        }
        _ => false,
    })
}

/// The names that a `use` brings in, one for each end of its tree.
pub(super) fn imports(item: &syn::ItemUse) -> Vec<Import> {
    let mut found = Vec::new();
    flatten(&item.tree, &mut Segments::new(), &mut |name, path| {
        let is_exported = !matches!(item.vis, syn::Visibility::Inherited);
        found.push(Import { name, path, is_exported });
    });
    found
}

fn flatten(tree: &syn::UseTree, path: &mut Segments, found: &mut impl FnMut(String, Segments)) {
    match tree {
        syn::UseTree::Path(step) => {
            path.push(name_of(&step.ident));
            flatten(&step.tree, path, found);
            path.pop();
        }
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, path, found)),
        syn::UseTree::Glob(_) => found("*".to_owned(), path.clone()),
        syn::UseTree::Name(end) => found_name(&end.ident, None, path, found),
        syn::UseTree::Rename(end) => found_name(&end.ident, Some(&end.rename), path, found),
    }
}

/// `a::b` is `b`, `a::b as c` is `c`, and `a::{self}` is `a`.
fn found_name(
    ident: &proc_macro2::Ident,
    rename: Option<&proc_macro2::Ident>,
    path: &Segments,
    found: &mut impl FnMut(String, Segments),
) {
    let mut path = path.clone();
    if ident != "self" || path.is_empty() {
        path.push(name_of(ident));
    }
    let name = rename.map_or_else(|| path.last().cloned().unwrap_or_default(), name_of);
    found(name, path);
}

impl Found {
    fn add(&mut self, path: Segments) {
        if path.first().is_some_and(|first| first != "Self") {
            self.paths.insert(path);
        }
    }

    /// The paths in the body of a macro or an attribute, where the grammar is the macro's own: identifiers joined by
    /// `::`.
    fn take_tokens(&mut self, tokens: TokenStream, texts_are_code: bool) {
        let mut path = Segments::new();
        let (mut colons, mut is_member) = (0, false);
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.add(std::mem::take(&mut path));
                    }
                    colons = 0;
                    if path.is_empty() && is_member {
                        is_member = false;
                        continue;
                    }
                    path.push(name_of(&ident));
                    continue;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Punct(punct) => is_member = punct.as_char() == '.',
                TokenTree::Group(group) => self.take_tokens(group.stream(), texts_are_code),
                TokenTree::Literal(literal) => {
                    if let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) {
                        self.take_text(&text.value(), texts_are_code);
                    }
                }
            }
            self.add(std::mem::take(&mut path));
            colons = 0;
        }
        self.add(path);
    }

    /// A literal is a text of the program, or in an attribute (`#[serde(with = "super::hex")]`) perhaps a path.
    fn take_text(&mut self, text: &str, texts_are_code: bool) {
        if !texts_are_code {
            self.texts.push(text.to_owned());
        } else if ["crate::", "super::", "self::"].iter().any(|start| text.starts_with(start)) {
            self.add(text.split("::").map(ToOwned::to_owned).collect());
        }
    }
}

impl<'ast> Visit<'ast> for Found {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.add(path.segments.iter().map(|segment| name_of(&segment.ident)).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.visit_path(&mac.path);
        self.take_tokens(mac.tokens.clone(), false);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        self.visit_path(attribute.path());
        if let syn::Meta::List(list) = &attribute.meta {
            self.take_tokens(list.tokens.clone(), true);
        }
    }

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.texts.push(text.value());
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.imports.extend(imports(item));
    }

    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }
}
