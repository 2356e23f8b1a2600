use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// The shape of a JSON value: kinds of values, and names of members in order. The first element stands for
/// its array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer,
    /// Any other number.
    Real,
    /// Text.
    Text,
    /// An array with its first element.
    Array(Option<Box<Shape>>),
    /// An object with its members.
    Object(Vec<(String, Shape)>),
}

impl Shape {
    /// Reads the shape of a JSON text.
    ///
    /// # Panics
    /// If the text is not JSON.
    #[must_use]
    pub fn of(json: &str) -> Self {
        serde_json::from_str(json).unwrap()
    }

    /// Returns the names in the first row of a list, in order: the member `list` of `response`.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn names_of_first_row(&self, list: &str) -> Vec<&str> {
        let Self::Array(Some(row)) = self.member("response").member(list) else { panic!("{self:?}") };
        let Self::Object(members) = &**row else { panic!("{row:?}") };
        members.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn member(&self, name: &str) -> &Self {
        let Self::Object(members) = self else { panic!("{self:?}") };
        &members.iter().find(|(member, _)| member == name).unwrap().1
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Bool)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Integer)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Integer)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Real)
    }

    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        let first = seq.next_element::<Shape>()?;
        while seq.next_element::<Shape>()?.is_some() {}
        Ok(Shape::Array(first.map(Box::new)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry::<String, Shape>()? {
            members.push(member);
        }
        Ok(Shape::Object(members))
    }
}
